"""How long a large sealed package takes to load, beside reading the same file.

Purpose: ``kakuri bench enclave-loading``.
Measured: load_seconds, ``enclave.load`` into a worker that stands (signatures, unwrapping, reading, decryption and
authentication of every tensor into secret memory); read_seconds, the same bytes of weights read into memory that is
there already. Once with the file in the page cache, once after it was dropped from there (``cold_``); the two take
turns, the least of all runs counts. ``ratio`` is read divided by load.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from kakuri import enclave
from kakuri.bench.rows import Options, Row
from kakuri.enclave.backends.contract import Policy
from kakuri.enclave.sealed import open_sealed
from kakuri.model.importers.onnx import normalize, parse
from kakuri.trust.device_key import new_device_key
from kakuri.trust.entropy import SeededRandomness
from kakuri.trust.signing import Signer

FEATURES = {"16MiB": 2048, "64MiB": 4096}
_MEMORY = "80 MiB"


def connected(features: int) -> ir.Model:
    """One connected layer, ``features`` x ``features`` seeded random weights."""
    weight = SeededRandomness(0, "enclave-loading").generator().standard_normal((features, features), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["scores"], name="layer")],
        f"connected-{features}",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, features])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, features])],
        [numpy_helper.from_array(weight, "weight")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return normalize(parse(proto.SerializeToString()))


def run(options: Options) -> list[Row]:
    rows: list[Row] = []
    for case, features in FEATURES.items():
        if options.case in case:
            options.report(case)
            with tempfile.TemporaryDirectory() as name:
                rows += _measure(case, features, Path(name), options.runs)
    return rows


def _measure(case: str, features: int, folder: Path, runs: int) -> list[Row]:
    signer, recipient = Signer.generate(), new_device_key(folder / "device.kkey")
    plan = enclave.plan(connected(features), secure_memory=_MEMORY)
    path = plan.build(folder / "net.kkr", recipient, signer)
    policy = Policy(
        signer.public, folder / "device.kkey", secure_memory_bytes=plan.budget_bytes, allow_swappable_memory=True
    )
    with open_sealed(path, signer.public) as package:
        positions, sizes = package.positions(), [tensor.size_bytes for tensor in package.index.tensors]
        weights_bytes = sum(sizes)
    room = memoryview(bytearray(max(sizes)))
    file = os.open(path, os.O_RDONLY)

    def read() -> None:
        for at, size in zip(positions, sizes, strict=True):
            done = 0
            while done < size:
                done += os.preadv(file, [room[done:size]], at + done)

    loads: tuple[list[float], list[float]] = ([], [])
    reads: tuple[list[float], list[float]] = ([], [])
    memory = ""
    try:
        for _ in range(runs):
            for cold in (0, 1):
                with enclave.prepare(path, policy) as backend:
                    _evict(file, bool(cold))
                    begin = time.perf_counter()
                    with enclave.load(path, policy, backend) as session:
                        loads[cold].append(time.perf_counter() - begin)
                        memory = session.guarantee.memory
                _evict(file, bool(cold))
                reads[cold].append(_seconds(read))
    finally:
        os.close(file)
    ours: dict[str, float | int | str] = {
        "load_seconds": min(loads[0]),
        "cold_load_seconds": min(loads[1]),
        "weights_bytes": weights_bytes,
        "ratio": min(reads[0]) / min(loads[0]),
        "cold_ratio": min(reads[1]) / min(loads[1]),
        "guarantee": f"sandbox, not a TEE, {memory}",
    }
    plain: dict[str, float | int | str] = {"read_seconds": min(reads[0]), "cold_read_seconds": min(reads[1])}
    return [Row("kakuri", case, ours), Row("reading", case, plain)]


def _evict(file: int, cold: bool) -> None:
    """Take the file out of the page cache, or leave it in."""
    if cold:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def _seconds(action: Callable[[], None]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
