"""Shapes of operators that slide a window: convolutions and pools."""

from __future__ import annotations

import onnx_ir as ir

from kakuri.model.graph import input_of, integer, ints, text
from kakuri.model.shapes.common import Dims, Rule, Types, dims, dtype, misfit

_AUTO_PAD = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def _window(node: ir.Node, axes: int, kernel: Dims) -> tuple[Dims, Dims, Dims, str]:
    """strides, dilations, pads and auto_pad, each checked against the number of spatial axes."""
    strides, dilations = ints(node, "strides", (1,) * axes), ints(node, "dilations", (1,) * axes)
    pads, mode = ints(node, "pads", (0,) * (2 * axes)), text(node, "auto_pad", "NOTSET")
    if mode not in _AUTO_PAD:
        raise misfit(node, "unknown auto_pad", ascii(mode)[:40])
    lengths = (len(kernel), len(strides), len(dilations), len(pads))
    if lengths != (axes, axes, axes, 2 * axes) or axes < 1:
        raise misfit(node, "the window does not match the spatial axes", f"{axes} axes, lengths {lengths}")
    return strides, dilations, pads if mode == "NOTSET" else (0,) * (2 * axes), mode


def _slide(node: ir.Node, spatial: Dims, kernel: Dims, *, ceil: bool) -> Dims:
    axes = len(spatial)
    strides, dilations, pads, mode = _window(node, axes, kernel)
    result = []
    for axis, size in enumerate(spatial):
        stride, span = strides[axis], (kernel[axis] - 1) * dilations[axis] + 1
        if mode.startswith("SAME"):
            result.append(-(-size // stride))
            continue
        room = size + pads[axis] + pads[axes + axis] - span
        if room < 0:
            raise misfit(node, "the window is larger than the input", f"window {span}, input {size}")
        steps = -(-room // stride) if ceil else room // stride
        if ceil and steps * stride >= size + pads[axis]:
            steps -= 1
        result.append(steps + 1)
    return tuple(result)


def _conv(node: ir.Node) -> Types:
    shape, weight, group = dims(node), dims(node, 1), integer(node, "group", 1)
    kernel = ints(node, "kernel_shape", weight[2:])
    if len(shape) < 3 or len(weight) != len(shape) or kernel != weight[2:]:
        raise misfit(node, "the weights do not match the input", f"input {shape}, weights {weight}")
    if shape[1] != weight[1] * group or weight[0] % group or weight[0] < 1:
        raise misfit(node, "channels and groups do not fit", f"input {shape}, weights {weight}, group {group}")
    _check_bias(node, weight[0])
    return [(dtype(node), (shape[0], weight[0], *_slide(node, shape[2:], kernel, ceil=False)))]


def _check_bias(node: ir.Node, channels: int) -> None:
    if input_of(node, 2) is not None and dims(node, 2) != (channels,):
        raise misfit(node, "the bias does not match the output channels", dims(node, 2))


def _conv_transpose(node: ir.Node) -> Types:
    shape, weight, group = dims(node), dims(node, 1), integer(node, "group", 1)
    kernel = ints(node, "kernel_shape", weight[2:])
    if (
        len(shape) < 3
        or len(weight) != len(shape)
        or kernel != weight[2:]
        or shape[1] != weight[0]
        or weight[0] % group
    ):
        raise misfit(node, "the weights do not match the input", f"input {shape}, weights {weight}, group {group}")
    axes = len(shape) - 2
    strides, dilations, pads, mode = _window(node, axes, kernel)
    extra, wanted = ints(node, "output_padding", (0,) * axes), ints(node, "output_shape")
    if len(extra) != axes or len(wanted) not in (0, axes) or any(size < 1 for size in wanted):
        raise misfit(node, "output_padding or output_shape does not match the spatial axes")
    _check_bias(node, weight[1] * group)
    spatial = []
    for axis, size in enumerate(shape[2:]):
        full = strides[axis] * (size - 1) + extra[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        target = min(full, size * strides[axis]) if mode.startswith("SAME") else full - pads[axis] - pads[axes + axis]
        spatial.append(wanted[axis] if wanted else target)
    if min(spatial) < 1:
        raise misfit(node, "nothing is left after padding", spatial)
    return [(dtype(node), (shape[0], weight[1] * group, *spatial))]


def _pool(node: ir.Node) -> Types:
    shape, kernel = dims(node), ints(node, "kernel_shape")
    if len(shape) < 3:
        raise misfit(node, "needs batch, channel and spatial axes", shape)
    pads = ints(node, "pads", (0,) * (2 * len(kernel)))
    spatial = _slide(node, shape[2:], kernel, ceil=integer(node, "ceil_mode", 0) == 1)
    if any(pad >= kernel[index % len(kernel)] for index, pad in enumerate(pads)):
        raise misfit(node, "padding is as large as the window", pads[:8])
    return [(dtype(node), (*shape[:2], *spatial)), (ir.DataType.INT64, (*shape[:2], *spatial))]


def _global_pool(node: ir.Node) -> Types:
    shape = dims(node)
    if len(shape) < 3:
        raise misfit(node, "needs batch, channel and spatial axes", shape)
    return [(dtype(node), shape[:2] + (1,) * (len(shape) - 2))]


RULES: dict[str, Rule] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    **dict.fromkeys(("AveragePool", "MaxPool", "LpPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global_pool),
}
