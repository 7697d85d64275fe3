"""The document's LeNet in five partitions and three sizes: sealed in the process backend, and unprotected.

Purpose: ``kakuri bench enclave-lenet``.
Measured, as S0 delimits it: load_seconds, from the package's (or the blob's) file to weights in allocated memory, every
signature check and decryption included; inference_seconds, from the image to the scores, outer layers included. The
code is resident on both sides when the clock starts, as a TEE's is: the library is in this process, the worker stands
empty in its sandbox. start_seconds is what that start took, cold_load_seconds a load that waits for it as well. Figures
are the least of many runs, the two sides in turns, so that other work on the machine counts little; the medians stand
beside them. max_error: largest difference of the scores from ONNX Runtime on the unsplit network.
``load_ratio`` and ``inference_ratio`` are ours divided by unprotected: the same generated C, compiled with the same
flags, in this process, its blob read from a file. Outer layers run under ONNX Runtime on both sides; ``none`` is the
whole network as outer layers, beside the whole network as generated code. Weights are random (seeded): time does not
depend on their values.
Source: S0, section 3.2 and figures 1 and 2.
"""

from __future__ import annotations

import ctypes
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kakuri import enclave, model
from kakuri.bench.rows import Options, Row
from kakuri.enclave.backends.contract import Policy
from kakuri.enclave.planning import ENTRY, EnclavePlan
from kakuri.enclave.session import EnclaveSession, OuterNetwork
from kakuri.model.graph import static_shape
from kakuri.model.importers.onnx import normalize, parse
from kakuri.model.layers import mark_layers
from kakuri.trust.device_key import new_device_key
from kakuri.trust.entropy import SeededRandomness
from kakuri.trust.signing import Signer

SIZES = (14, 28, 56)
PARTITIONS = {"0-10": "0:10", "1-10": "1:10", "5-10": "5:10", "9-10": "9:10", "none": ""}
_KINDS = ["convolutional", "maxpool", "convolutional", "maxpool", "connected", "dropout", "connected", "dropout"]
Arrays = dict[str, NDArray[Any]]


def lenet(side: int) -> ir.Model:
    """The eleven layers of the document for (1, 1, side, side), seeded random weights. Odd sides are rounded up."""
    rng = SeededRandomness(0, f"lenet-{side}").generator()
    nodes, constants = [], {}
    value, channels, features = "input", 1, 6 * (-(-side // 4)) ** 2

    def add(layer: int, op_type: str, *shapes: tuple[int, ...], **attributes: Any) -> None:
        nonlocal value
        name, inputs = f"layer{layer}.{op_type.lower()}", [value]
        for role, shape in zip(("weight", "bias"), shapes, strict=False):
            fan_in = int(np.prod(shape[1:])) or 1
            constants[f"layer{layer}.{role}"] = (rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
            inputs.append(f"layer{layer}.{role}")
        value = f"{name}.out"
        nodes.append(helper.make_node(op_type, inputs, [value], name=name, **attributes))

    for layer in (0, 2):
        add(layer, "Conv", (6, channels, 5, 5), (6,), pads=[2, 2, 2, 2])
        add(layer, "Relu")
        add(layer + 1, "MaxPool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1])
        channels = 6
    add(4, "Flatten")
    for layer, outputs in ((4, 120), (6, 84), (8, 10)):
        add(layer, "Gemm", (outputs, features), (outputs,), transB=1)
        if layer < 8:
            add(layer, "Relu")
        features = outputs
    add(9, "Softmax", axis=1)
    graph = helper.make_graph(
        nodes,
        f"lenet-{side}",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, side, side])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    net = normalize(parse(proto.SerializeToString()))
    mark_layers(net, [*_KINDS, "connected", "softmax", "cost"])
    return net


class Unprotected:
    """The same generated code in this process, its blob in ordinary memory."""

    def __init__(self, plan: EnclavePlan, folder: Path) -> None:
        source = plan.code.build(folder / "source")
        self._library = source.compile(folder, shared=True)
        self._blob = folder / "source" / f"{ENTRY}_weights.bin"
        self._plan = plan
        self._outside = None if plan.cut.before is None else model.to_bytes(plan.cut.before)
        self.load()

    def load(self) -> None:
        self._before = None if self._outside is None else OuterNetwork(self._outside)
        self._function = getattr(ctypes.CDLL(str(self._library)), ENTRY)
        blob = self._blob.read_bytes()
        self._weights = _aligned(len(blob))
        self._weights[:] = np.frombuffer(blob, np.uint8)
        self._arena = _aligned(max(self._plan.code.program.arena_bytes, 64))

    def run(self, values: Arrays) -> NDArray[Any]:
        """One sample."""
        facts = self._plan.facts
        known = values | self._before.run(values) if self._before is not None else values
        inputs = [np.ascontiguousarray(known[item.name]) for item in facts.entering]
        outputs = [np.empty(item.shape, item.dtype) for item in facts.leaving]
        pointers = [(ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays)) for arrays in (inputs, outputs)]
        arena, weights = (ctypes.c_void_p(array.ctypes.data) for array in (self._arena, self._weights))
        sizes = [ctypes.c_size_t(array.size) for array in (self._arena, self._weights)]
        status = self._function(*pointers, arena, sizes[0], weights, sizes[1])
        assert status == 0
        return outputs[0]


def run(options: Options) -> list[Row]:
    rows: list[Row] = []
    for side in SIZES:
        for name, layers in PARTITIONS.items():
            case = f"{side}x{side}/{name}"
            if options.case in case:
                options.report(case)
                rows += measure(lenet(side), case, layers, max(15, options.runs))
    return rows


def measure(net: ir.Model, case: str, layers: str, runs: int) -> list[Row]:
    """Both systems on ``net`` with ``layers`` inside (none: empty); images are random."""
    shape = static_shape(net.graph.inputs[0])
    samples = SeededRandomness(1, case).generator().random((5 * runs, *shape), dtype=np.float32)
    expected = model.reference_outputs(net, samples[:, 0])
    plan = enclave.plan(net, layers=layers or "0:10")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = Unprotected(plan, folder)
        if not layers:
            return _nothing_inside(net, case, plain, folder, runs, samples, expected)
        signer = Signer.generate()
        recipient = new_device_key(folder / "device.kkey")
        path = plan.build(folder / "net.kkr", recipient, signer)
        policy = Policy(signer.public, folder / "device.kkey")
        plain_load, start, ours_load, cold = _load_times(plain, path, policy, runs)
        with enclave.load(path, policy) as session:
            output = plan.facts.outputs[0]
            (plain_time, ours_time), error = _in_turns(
                [plain.run, lambda values: session.run(values).outputs[output]], samples, expected
            )
            guarantee = f"{session.guarantee.kind}, {session.guarantee.memory}"
    ours = _figures(ours_load, ours_time, error) | {
        "start_seconds": min(start),
        "cold_load_seconds": min(cold),
        "load_ratio": min(ours_load) / min(plain_load),
        "inference_ratio": min(ours_time) / min(plain_time),
        "secure_bytes": plan.facts.secure_bytes,
        "guarantee": guarantee,
    }
    return [Row("kakuri", case, ours), Row("unprotected", case, _figures(plain_load, plain_time, error))]


def _nothing_inside(  # noqa: PLR0917
    net: ir.Model,
    case: str,
    plain: Unprotected,
    folder: Path,
    runs: int,
    samples: NDArray[np.float32],
    expected: NDArray[Any],
) -> list[Row]:
    """The whole network in the open, run as outer layers always are."""
    file = folder / "net.onnx"
    file.write_bytes(model.to_bytes(net))
    loads: list[list[float]] = [[], []]
    for _ in range(runs):
        loads[0].append(_seconds(plain.load))
        loads[1].append(_seconds(lambda: OuterNetwork(file.read_bytes())))
    opened, output = OuterNetwork(file.read_bytes()), net.graph.outputs[0].name or ""
    times, error = _in_turns([plain.run, lambda values: opened.run(values)[output]], samples, expected)
    ours = _figures(loads[1], times[1], error) | {
        "load_ratio": min(loads[1]) / min(loads[0]),
        "inference_ratio": min(times[1]) / min(times[0]),
        "guarantee": "none: nothing is inside",
    }
    return [Row("kakuri", case, ours), Row("unprotected", case, _figures(loads[0], times[0], error))]


def _load_times(plain: Unprotected, path: Path, policy: Policy, runs: int) -> list[list[float]]:
    """Seconds, in turns: unprotected, the start of a worker, a load into it, a load that starts its own."""
    times: list[list[float]] = [[], [], [], []]
    for _ in range(runs):
        begin = time.perf_counter()
        with enclave.prepare(path, policy) as backend:
            times[1].append(time.perf_counter() - begin)
            times[0].append(_seconds(plain.load))
            times[2].append(_seconds(partial(enclave.load, path, policy, backend)))
        times[3].append(_seconds(partial(enclave.load, path, policy)))
    return times


def _figures(load: list[float], inference: list[float], error: float) -> dict[str, float | int | str]:
    return {
        "load_seconds": min(load),
        "inference_seconds": min(inference),
        "load_median_seconds": statistics.median(load),
        "inference_median_seconds": statistics.median(inference),
        "max_error": error,
    }


def _in_turns(
    systems: list[Callable[[Arrays], NDArray[Any]]], samples: NDArray[np.float32], expected: NDArray[Any]
) -> tuple[list[list[float]], float]:
    """Seconds of each system, sample by sample in turns, and the largest error of any."""
    seconds: list[list[float]] = [[] for _ in systems]
    error = 0.0
    for sample, wanted in zip(samples, expected, strict=True):
        for index, system in enumerate(systems):
            system({"input": sample})
            begin = time.perf_counter()
            scores = system({"input": sample})
            seconds[index].append(time.perf_counter() - begin)
            error = max(error, float(np.abs(scores - wanted).max()))
    return seconds, error


def _seconds(action: Callable[[], object]) -> float:
    """How long ``action`` takes; a session that it opens is closed afterwards."""
    begin = time.perf_counter()
    session = action()
    seconds = time.perf_counter() - begin
    if isinstance(session, EnclaveSession):
        session.close()
    return seconds


def _aligned(size: int) -> NDArray[np.uint8]:
    raw = np.empty(size + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + size]
