"""ONNX Runtime as the oracle for float results.

Purpose: reference answers, values inside the network, and the ranges that polynomial activations are fitted to.
Guarantees: the model is run as it is, one sample at a time, without graph optimisation, on one thread.
Does not guarantee: speed; bit-equality between machines, since kernels differ by instruction set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, NDArray

from kakuri.errors import KakuriError
from kakuri.model.activations import activation_inputs
from kakuri.model.graph import static_shape
from kakuri.model.passes.expand_polynomial import expand_polynomial
from kakuri.model.runtime import onnxruntime


def reference_outputs(net: ir.Model, inputs: ArrayLike) -> NDArray[np.generic]:
    """The answer of ONNX Runtime for a batch.

    net: a model with one input and one output, batch axis 1. inputs: (B, ...) with the input's other axes; cast to its
    type. Returns (B, ...). Raises KK-M15 (shape), KK-M16 (not one input and output), KK-M17 (the runtime refuses it).
    """
    if len(net.graph.outputs) != 1:
        raise KakuriError(
            "KK-M16",
            "reference_outputs needs a model with one output",
            got=[value.name for value in net.graph.outputs],
            hint="reference_values(net, inputs, names) reads any of them",
        )
    name = net.graph.outputs[0].name or ""
    return reference_values(net, inputs, [name])[name]


def reference_values(net: ir.Model, inputs: ArrayLike, names: Iterable[str]) -> dict[str, NDArray[np.generic]]:
    """Named values inside ``net`` for a batch: name -> (B, ...). Raises as ``reference_outputs``, and KK-M14 (name)."""
    wanted = list(dict.fromkeys(names))
    rows = list(reference_rows(net, inputs, wanted))
    return {name: np.concatenate([row[name] for row in rows]) for name in wanted}


def reference_rows(net: ir.Model, inputs: ArrayLike, names: Iterable[str]) -> Iterator[dict[str, NDArray[np.generic]]]:
    """The same for one sample after the other: name -> (1, ...). A large batch's values need not be held at once."""
    wanted = list(dict.fromkeys(names))
    for row in _run(net, inputs, wanted):
        yield dict(zip(wanted, row, strict=True))


def calibrate(net: ir.Model, inputs: ArrayLike) -> dict[str, tuple[float, float]]:
    """The (min, max) over a batch of every value that an activation or Polynomial reads: value name -> range.

    Raises as ``reference_outputs``.
    """
    names = [value.name or "" for value in activation_inputs(net)]
    if not names:
        return {}
    low = dict.fromkeys(names, np.inf)
    high = dict.fromkeys(names, -np.inf)
    for row in reference_rows(net, inputs, names):
        for name, array in row.items():
            low[name] = min(low[name], float(array.min()))
            high[name] = max(high[name], float(array.max()))
    return {name: (low[name], high[name]) for name in names}


def _run(net: ir.Model, inputs: ArrayLike, names: Sequence[str]) -> Iterator[list[NDArray[np.generic]]]:
    """The named values, one list per sample; each array keeps a batch axis of 1."""
    if len(net.graph.inputs) != 1:
        raise KakuriError(
            "KK-M16", "reference values need a model with one input", got=[value.name for value in net.graph.inputs]
        )
    source = net.graph.inputs[0]
    shape, dtype = static_shape(source), (source.dtype or ir.DataType.FLOAT).numpy()
    batch = np.asarray(inputs)
    if batch.ndim != len(shape) or batch.shape[1:] != shape[1:] or not len(batch) or shape[0] != 1:
        raise KakuriError(
            "KK-M15",
            "the inputs do not fit the model",
            where=source.name,
            got=batch.shape,
            limit=("B", *shape[1:]),
            hint="the first axis is the batch" if shape[0] == 1 else f"export with batch size 1, not {shape[0]}",
        )
    session = _session(net, names)
    for sample in batch:
        try:
            row = session.run(list(names), {source.name: np.ascontiguousarray(sample[None], dtype=dtype)})
        except Exception as error:  # noqa: BLE001  the runtime's exception types are not public
            raise _refused(error) from None
        yield row


def _session(net: ir.Model, names: Sequence[str]) -> onnxruntime.InferenceSession:
    expanded = expand_polynomial(net)
    graph = expanded.graph
    values = {value.name: value for node in graph for value in node.outputs}
    values.update({value.name: value for value in graph.inputs})
    missing = [name for name in names if name not in values]
    if missing:
        raise KakuriError("KK-M14", "the model computes no such value", got=missing[:8], hint="names of node outputs")
    graph.outputs.extend(values[name] for name in names if not values[name].is_graph_output())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            ir.to_proto(expanded).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001  the runtime's exception types are not public
        raise _refused(error) from None


def _refused(error: Exception) -> KakuriError:
    lines = str(error).splitlines() or [type(error).__name__]
    return KakuriError("KK-M17", "ONNX Runtime cannot run this model", got=ascii(lines[0][:200]))
