"""A quantised graph in integers, as the source's reference kernels compute it.

Purpose: the oracle for generated code; slow, plain numpy.
Guarantees: every marked region is computed by the integer kernel of its operator; everything else by ONNX Runtime,
    node by node.
Does not guarantee: an answer for operators without a kernel (KK-M21), or the answers of a runtime's optimised kernels.
Source: LiteRT's reference kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from kakuri.errors import KakuriError, Problem
from kakuri.model.graph import Array, constant, is_op, static_shape
from kakuri.model.quantized.fixed_point import round_away
from kakuri.model.quantized.kernels import KERNELS
from kakuri.model.quantized.reading import Region, needed, source_of
from kakuri.model.runtime import onnxruntime


def integer_values(net: ir.Model, inputs: Sequence[Array], names: Iterable[str]) -> dict[str, Array]:
    """Named values of ``net`` for one call, each as the graph declares it.

    inputs: one array per input of the graph, in order, of its shape and type. Raises KK-M14 (name), KK-M15 (inputs),
    KK-M17 (ONNX Runtime refuses a node), KK-M21 (a region without a kernel; all of them together).
    """
    known = _check_inputs(net, inputs)
    values = {value.name: value for node in net.graph for value in node.outputs}
    wanted = list(dict.fromkeys(names))
    missing = [name for name in wanted if name not in values and name not in known]
    if missing:
        raise KakuriError("KK-M14", "the model computes no such value", got=missing[:8])
    steps, found = needed(net, [values[name] for name in wanted if name in values])
    _check_kernels(found.values())
    for node in steps:
        region = found.get(node)
        if region is not None:
            operands = [None if item is None else _array(item.value, known) for item in region.inputs]
            kernel = KERNELS[_kind(region)]
            known[node.outputs[0].name or ""] = kernel(region, operands).astype(_dtype(node.outputs[0]))
        elif is_op(node, "QuantizeLinear") and source_of(node):
            known[node.outputs[0].name or ""] = _quantize(node, known)
        else:
            known.update(_run(node, known))
    return {name: known[name] for name in wanted}


def _check_inputs(net: ir.Model, inputs: Sequence[Array]) -> dict[str, Array]:
    expected = [(value.name or "", static_shape(value), _dtype(value)) for value in net.graph.inputs]
    given = [(array.shape, array.dtype) for array in inputs]
    if given != [(shape, dtype) for _, shape, dtype in expected]:
        raise KakuriError("KK-M15", "the inputs do not fit the model", got=given[:8], limit=expected[:8])
    return {name: array for (name, _, _), array in zip(expected, inputs, strict=True)}


def _kind(region: Region) -> str:
    return "" if region.core is None else region.core.op_type


def _check_kernels(found: Iterable[Region]) -> None:
    problems = [
        Problem("KK-M21", f"no integer kernel for {region.operator}", where=f"node {region.nodes[0].name!r}")
        for region in found
        if _kind(region) not in KERNELS
    ]
    if problems:
        raise KakuriError.collect(problems)


def _array(value: ir.Value, known: dict[str, Array]) -> Array:
    stored = constant(value)
    return known[value.name or ""] if stored is None else stored


def _dtype(value: ir.Value) -> np.dtype[np.generic]:
    return np.dtype((value.dtype or ir.DataType.FLOAT).numpy())


def _quantize(node: ir.Node, known: dict[str, Array]) -> Array:
    """Float to integers at a border: halves away from zero."""
    data, scale, point = (_array(value, known).astype(np.float32) for value in node.inputs if value is not None)
    limits = np.iinfo(np.int8 if node.outputs[0].dtype == ir.DataType.INT8 else np.uint8)
    levels = round_away(data / scale) + point.astype(np.float64)
    return np.clip(levels, limits.min, limits.max).astype(limits.dtype)


def _run(node: ir.Node, known: dict[str, Array]) -> dict[str, Array]:
    """One node through ONNX Runtime."""
    feeds = {value.name or "": _array(value, known) for value in node.inputs if value is not None}
    graph = onnx.helper.make_graph(
        [ir.to_proto(node)],
        "node",
        [_info(name, array) for name, array in feeds.items()],
        [onnx.helper.make_empty_tensor_value_info(value.name or "") for value in node.outputs],
    )
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results = session.run(None, feeds)
    except Exception as error:  # noqa: BLE001  the runtime's exception types are not public
        raise KakuriError(
            "KK-M17", "ONNX Runtime cannot run this node", where=node.name, got=ascii(str(error).splitlines()[0][:200])
        ) from None
    return {value.name or "": np.asarray(array) for value, array in zip(node.outputs, results, strict=True)}


def _info(name: str, array: Array) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
