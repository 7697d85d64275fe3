"""One spelling for each linear layer.

Requires: static shapes, folded constants.
Ensures:
- MatMul of a 2-D value with a constant matrix, with or without an added constant, is a Gemm;
- every Gemm with constant weights and bias has transA = 0, transB = 1, alpha = beta = 1, weights (out, in), and no bias
  or one of shape (out,);
- a constant per channel added to the exclusive result of a Conv is the Conv's bias;
- Conv, AveragePool and MaxPool state kernel_shape, strides, dilations, pads (and group); auto_pad is gone;
- GlobalAveragePool and ReduceMean over all spatial axes are AveragePool over the whole map, followed by Flatten when
  the axes are dropped; but not the ReduceMean of a quantised region, which keeps its rounding;
- a Reshape, Squeeze or Flatten that makes (1, C, H, W) into (1, C H W) is Flatten(axis=1); those that change nothing
  are gone.
Does not guarantee: bit-equal float results where weights are scaled by alpha or beta.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from kakuri.model.graph import (
    Array,
    Editor,
    constant,
    input_of,
    integer,
    ints,
    is_exclusive,
    is_op,
    real,
    remove_unused,
    required_input,
    static_shape,
    text,
)
from kakuri.model.quantized.reading import region_of


def normalize_linear(net: ir.Model) -> ir.Model:
    """A copy of ``net`` with linear layers in the one form that the module head states."""
    net = net.clone()
    edit = Editor(net)
    for rewrite in (_matmul, _gemm, _added_constant, _window, _global_pool, _reduce_mean, _flatten, _merge_flatten):
        for node in list(net.graph):
            if node.domain == "":
                rewrite(edit, node)
    remove_unused(net)
    return net


def _matmul(edit: Editor, node: ir.Node) -> None:
    weight = constant(input_of(node, 1))
    if not is_op(node, "MatMul") or weight is None or weight.ndim != 2 or len(static_shape(required_input(node))) != 2:
        return
    output = node.outputs[0]
    transposed = edit.constant(required_input(node, 1).name or f"{node.name}.weight", weight.T.copy())
    value = edit.node(
        node,
        "Gemm",
        [required_input(node), transposed],
        {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1},
        name=f"{node.name}.gemm",
        shape=static_shape(output),
        dtype=output.dtype,
    )
    edit.substitute(node, value)


def _gemm(edit: Editor, node: ir.Node) -> None:
    if not is_op(node, "Gemm") or integer(node, "transA", 0) != 0:
        return
    weight, bias = constant(input_of(node, 1)), constant(input_of(node, 2))
    if weight is None or (bias is None and input_of(node, 2) is not None):
        return
    alpha, beta = real(node, "alpha", 1.0), real(node, "beta", 1.0)
    if integer(node, "transB", 0) == 0 or alpha != 1.0:
        matrix = weight if integer(node, "transB", 0) else weight.T
        edit.replace_constant(node, 1, (matrix.astype(np.float64) * alpha).astype(weight.dtype))
    outputs = static_shape(node.outputs[0])[1]
    if bias is not None and (bias.shape != (outputs,) or beta != 1.0):
        if bias.ndim == 2 and bias.shape[0] != 1:
            return
        row = np.broadcast_to(bias.reshape(-1), (outputs,))
        edit.replace_constant(node, 2, (row.astype(np.float64) * beta).astype(bias.dtype))
    for attribute in (ir.AttrFloat32("alpha", 1.0), ir.AttrFloat32("beta", 1.0), ir.AttrInt64("transB", 1)):
        node.attributes.add(attribute)
    node.attributes.add(ir.AttrInt64("transA", 0))


def _added_constant(edit: Editor, node: ir.Node) -> None:
    """Add(Conv or Gemm, constant per output channel) -> bias."""
    if not is_op(node, "Add"):
        return
    for source, other in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        layer, shift = (source.producer() if source else None), constant(other)
        if source is None or layer is None or shift is None or not is_exclusive(source):
            continue
        row = _per_channel(shift, static_shape(source))
        if row is None or static_shape(source) != static_shape(node.outputs[0]) or not _add_to_bias(edit, layer, row):
            continue
        layer.outputs[0].name, node.outputs[0].name = node.outputs[0].name, layer.outputs[0].name
        edit.substitute(node, layer.outputs[0], keep_name=False)
        return


def _per_channel(array: Array, shape: tuple[int, ...]) -> Array | None:
    """``array`` as (channels,) when it broadcasts to ``shape`` along axis 1 only."""
    if array.ndim > len(shape):
        return None
    dims = (1,) * (len(shape) - array.ndim) + array.shape
    if any(size != 1 for axis, size in enumerate(dims) if axis != 1) or dims[1] not in (1, shape[1]):
        return None
    return np.broadcast_to(array.reshape(-1), (shape[1],))


def _add_to_bias(edit: Editor, layer: ir.Node, row: Array) -> bool:
    canonical_gemm = is_op(layer, "Gemm") and integer(layer, "transB", 0) == 1 and real(layer, "beta", 1.0) == 1.0
    if not is_op(layer, "Conv") and not canonical_gemm:
        return False
    old, bias = input_of(layer, 2), constant(input_of(layer, 2))
    if old is None:
        layer.resize_inputs(3)
        layer.replace_input_with(2, edit.constant(f"{layer.name}.bias", row.copy()))
        return True
    if bias is None or bias.shape != row.shape:
        return False
    edit.replace_constant(layer, 2, (bias.astype(np.float64) + row.astype(np.float64)).astype(bias.dtype))
    return True


def _window(edit: Editor, node: ir.Node) -> None:
    if not is_op(node, "Conv", "AveragePool", "MaxPool"):
        return
    spatial = static_shape(required_input(node))[2:]
    axes = len(spatial)
    weight = input_of(node, 1)
    kernel = ints(node, "kernel_shape", static_shape(weight)[2:] if is_op(node, "Conv") and weight else ())
    strides, dilations = ints(node, "strides", (1,) * axes), ints(node, "dilations", (1,) * axes)
    pads = _explicit_pads(node, spatial, kernel, strides, dilations)
    node.attributes.pop("auto_pad", None)
    for name, items in (("kernel_shape", kernel), ("strides", strides), ("dilations", dilations), ("pads", pads)):
        node.attributes.add(ir.AttrInt64s(name, items))
    if is_op(node, "Conv"):
        node.attributes.add(ir.AttrInt64("group", integer(node, "group", 1)))


def _explicit_pads(
    node: ir.Node,
    spatial: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[int, ...]:
    """Begin then end padding per spatial axis; source: the ONNX operator text on ``auto_pad``."""
    mode = text(node, "auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        none = (0,) * (2 * len(spatial))
        return none if mode == "VALID" else ints(node, "pads", none)
    totals = [
        max(0, (-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size)
        for size, width, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True)
    ]
    small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return small + large if mode == "SAME_UPPER" else large + small


def _global_pool(edit: Editor, node: ir.Node) -> None:
    if is_op(node, "GlobalAveragePool") and 0 not in static_shape(required_input(node)):
        edit.substitute(node, _average_all(edit, node))


def _average_all(edit: Editor, node: ir.Node) -> ir.Value:
    source = required_input(node)
    shape = static_shape(source)
    axes = len(shape) - 2
    return edit.node(
        node,
        "AveragePool",
        [source],
        {
            "kernel_shape": list(shape[2:]),
            "strides": [1] * axes,
            "dilations": [1] * axes,
            "pads": [0] * (2 * axes),
            "count_include_pad": 0,
            "ceil_mode": 0,
        },
        name=f"{node.name}.pool",
        shape=shape[:2] + (1,) * axes,
        dtype=source.dtype,
    )


def _reduce_mean(edit: Editor, node: ir.Node) -> None:
    """ReduceMean over every spatial axis, and no other."""
    if not is_op(node, "ReduceMean") or _rounds_as_its_source(node):
        return
    shape, axes = static_shape(required_input(node)), constant(input_of(node, 1))
    if axes is None or len(shape) < 3 or 0 in shape:
        return
    reduced = sorted({int(axis) % len(shape) for axis in axes.reshape(-1)})
    if reduced != list(range(2, len(shape))):
        return
    pooled = _average_all(edit, node)
    if integer(node, "keepdims", 1):
        edit.substitute(node, pooled)
        return
    flat = edit.node(
        node, "Flatten", [pooled], {"axis": 1}, name=f"{node.name}.flatten", shape=shape[:2], dtype=pooled.dtype
    )
    producer = pooled.producer()
    if producer is not None:
        producer.name = f"{node.name}.pool"
    edit.substitute(node, flat)


def _rounds_as_its_source(node: ir.Node) -> bool:
    """Whether ``node`` is the core of a quantised region: another operator would round otherwise."""
    found = (region_of(reader) for reader in node.outputs[0].consumers() if is_op(reader, "QuantizeLinear"))
    return any(region is not None and region.core is node for region in found)


def _flatten(edit: Editor, node: ir.Node) -> None:
    if not is_op(node, "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand"):
        return
    source, output = required_input(node), node.outputs[0]
    before, after = static_shape(source), static_shape(output)
    if before == after:
        edit.bypass(node)
        return
    already = is_op(node, "Flatten") and integer(node, "axis", 1) == 1
    if already or len(after) != 2 or len(before) < 2 or after[0] != before[0] or is_op(node, "Expand"):
        return
    value = edit.node(
        node, "Flatten", [source], {"axis": 1}, name=f"{node.name}.flatten", shape=after, dtype=output.dtype
    )
    edit.substitute(node, value)


def _merge_flatten(edit: Editor, node: ir.Node) -> None:
    """Flatten after a shape change that keeps axis 0 reads the original instead."""
    if not is_op(node, "Flatten") or integer(node, "axis", 1) != 1:
        return
    source = required_input(node)
    before = source.producer()
    if before is None or not is_op(before, "Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        return
    original = required_input(before)
    shape = static_shape(original)
    if len(shape) >= 2 and shape[0] == static_shape(source)[0] == static_shape(node.outputs[0])[0]:
        node.replace_input_with(0, original)
