"""Shapes of operators that move, repeat or select data, or make it from nothing."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from kakuri.model.graph import constant, input_of, integer, ints, text
from kakuri.model.shapes.common import Dims, Rule, Types, axes_of, axis_of, broadcast, const_ints, dims, dtype, misfit
from kakuri.model.slices import kept_elements


def _target(node: ir.Node, index: int) -> tuple[int, ...]:
    """A constant list of integers that must be there."""
    found = const_ints(node, index)
    if found is None:
        raise misfit(node, f"input {index} is missing")
    return found


def _reshape(node: ir.Node) -> Types:
    shape, target = dims(node), list(_target(node, 1))
    if not integer(node, "allowzero", 0):
        for axis, size in enumerate(target):
            if size == 0 and axis >= len(shape):
                raise misfit(node, "copies an axis that the input lacks", target[:16])
            target[axis] = shape[axis] if size == 0 else size
    known = math.prod(size for size in target if size != -1)
    if target.count(-1) > 1 or min(target, default=1) < -1:
        raise misfit(node, "malformed target shape", target[:16])
    if -1 in target:
        if known == 0 or math.prod(shape) % known:
            raise misfit(node, "the elements do not fill the target shape", f"{shape} to {target[:16]}")
        target[target.index(-1)] = math.prod(shape) // known
    if math.prod(target) != math.prod(shape):
        raise misfit(node, "the elements do not fill the target shape", f"{shape} to {target[:16]}")
    return [(dtype(node), tuple(target))]


def _flatten(node: ir.Node) -> Types:
    shape = dims(node)
    axis = integer(node, "axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise misfit(node, "axis out of range", axis)
    axis += len(shape) if axis < 0 else 0
    return [(dtype(node), (math.prod(shape[:axis]), math.prod(shape[axis:])))]


def _squeeze(node: ir.Node) -> Types:
    shape, axes = dims(node), const_ints(node, 1)
    gone = (
        set(axes_of(node, axes, len(shape))) if axes is not None else {i for i, size in enumerate(shape) if size == 1}
    )
    if any(shape[axis] != 1 for axis in gone):
        raise misfit(node, "removes an axis that is not 1", shape)
    return [(dtype(node), tuple(size for axis, size in enumerate(shape) if axis not in gone))]


def _unsqueeze(node: ir.Node) -> Types:
    shape, axes = dims(node), _target(node, 1)
    new = set(axes_of(node, axes, len(shape) + len(axes)))
    rest = iter(shape)
    return [(dtype(node), tuple(1 if axis in new else next(rest) for axis in range(len(shape) + len(axes))))]


def _concat(node: ir.Node) -> Types:
    shapes = [dims(node, index) for index in range(len(node.inputs))]
    axis = axis_of(node, integer(node, "axis", 0), len(shapes[0]))
    if len({(len(shape), shape[:axis], shape[axis + 1 :]) for shape in shapes}) != 1:
        raise misfit(node, "the other axes differ", shapes[:4])
    return [(dtype(node), (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :]))]


def _split(node: ir.Node) -> Types:
    shape, sizes, count = dims(node), const_ints(node, 1), len(node.outputs)
    axis = axis_of(node, integer(node, "axis", 0), len(shape))
    if integer(node, "num_outputs", count) != count:
        raise misfit(node, "num_outputs is not the number of outputs", integer(node, "num_outputs", count))
    if sizes is None:
        part = -(-shape[axis] // count)
        sizes = (part,) * (count - 1) + (shape[axis] - part * (count - 1),)
    if len(sizes) != count or sum(sizes) != shape[axis] or min(sizes) < 0:
        raise misfit(node, "the parts do not make up the axis", f"{sizes[:16]} of {shape[axis]}")
    return [(dtype(node), (*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]


def _slice(node: ir.Node) -> Types:
    shape = list(dims(node))
    starts, ends = _target(node, 1), _target(node, 2)
    axes = const_ints(node, 3)
    steps = const_ints(node, 4) or (1,) * len(starts)
    chosen = axes_of(node, range(len(starts)) if axes is None else axes, len(shape))
    if not len(starts) == len(ends) == len(steps) == len(chosen) or 0 in steps:
        raise misfit(node, "starts, ends, axes and steps do not match")
    for axis, start, end, step in zip(chosen, starts, ends, steps, strict=True):
        shape[axis] = len(kept_elements(start, end, step, shape[axis]))
    return [(dtype(node), tuple(shape))]


def _gather(node: ir.Node) -> Types:
    shape, indices = dims(node), dims(node, 1)
    axis = axis_of(node, integer(node, "axis", 0), len(shape))
    return [(dtype(node), shape[:axis] + indices + shape[axis + 1 :])]


def _gather_elements(node: ir.Node) -> Types:
    if len(dims(node)) != len(dims(node, 1)):
        raise misfit(node, "data and indices differ in rank", f"{dims(node)} and {dims(node, 1)}")
    return [(dtype(node), dims(node, 1))]


def _pad(node: ir.Node) -> Types:
    shape, pads = list(dims(node)), _target(node, 1)
    axes = const_ints(node, 3)
    chosen = axes_of(node, range(len(shape)) if axes is None else axes, len(shape))
    if len(pads) != 2 * len(chosen):
        raise misfit(node, "pads do not match the axes", pads[:16])
    for position, axis in enumerate(chosen):
        shape[axis] += pads[position] + pads[len(chosen) + position]
    if min(shape, default=1) < 0:
        raise misfit(node, "removes more than there is", pads[:16])
    return [(dtype(node), tuple(shape))]


def _tile(node: ir.Node) -> Types:
    shape, repeats = dims(node), _target(node, 1)
    if len(repeats) != len(shape) or min(repeats, default=1) < 0:
        raise misfit(node, "repeats do not match the axes", repeats[:16])
    return [(dtype(node), tuple(size * count for size, count in zip(shape, repeats, strict=True)))]


def _expand(node: ir.Node) -> Types:
    target = _target(node, 1)
    if min(target, default=1) < 0:
        raise misfit(node, "malformed target shape", target[:16])
    return [(dtype(node), broadcast(node, [dims(node), target]))]


def _range(node: ir.Node) -> Types:
    numbers = [constant(input_of(node, index)) for index in range(3)]
    if any(array is None or array.size != 1 for array in numbers):
        raise misfit(node, "the shape depends on data")
    start, limit, delta = (array.reshape(-1)[0].item() for array in numbers if array is not None)
    if delta == 0 or not all(np.isfinite(number) for number in (start, limit, delta)):
        raise misfit(node, "malformed range", f"{start} to {limit} by {delta}")
    whole = isinstance(delta, int)
    count = -((start - limit) // delta) if whole else math.ceil((limit - start) / delta)
    return [(dtype(node), (max(0, count),))]


def _constant_of_shape(node: ir.Node) -> Types:
    target = _target(node, 0)
    attribute = node.attributes.get("value")
    if min(target, default=1) < 0 or (attribute is not None and attribute.as_tensor().size != 1):
        raise misfit(node, "malformed shape or value", target[:16])
    return [(ir.DataType.FLOAT if attribute is None else attribute.as_tensor().dtype, target)]


def _transpose(node: ir.Node) -> Types:
    shape = dims(node)
    order = axes_of(node, ints(node, "perm", tuple(reversed(range(len(shape))))), len(shape))
    if len(order) != len(shape):
        raise misfit(node, "perm does not match the axes", order[:16])
    return [(dtype(node), tuple(shape[axis] for axis in order))]


def _shape(node: ir.Node) -> Types:
    rank = len(dims(node))
    kept = range(rank)[integer(node, "start", 0) : integer(node, "end", rank)]
    return [(ir.DataType.INT64, (len(kept),))]


def _size(_: ir.Node) -> Types:
    return [(ir.DataType.INT64, ())]


def _block(node: ir.Node) -> tuple[Dims, int]:
    shape, size = dims(node), integer(node, "blocksize", 1)
    if len(shape) != 4:
        raise misfit(node, "needs a rank-4 input", shape)
    return shape, size


def _depth_to_space(node: ir.Node) -> Types:
    (batch, channels, height, width), size = _block(node)
    if channels % (size * size):
        raise misfit(node, "the channels are no multiple of the block", channels)
    return [(dtype(node), (batch, channels // (size * size), height * size, width * size))]


def _space_to_depth(node: ir.Node) -> Types:
    (batch, channels, height, width), size = _block(node)
    if height % size or width % size:
        raise misfit(node, "the map is no multiple of the block", (height, width))
    return [(dtype(node), (batch, channels * size * size, height // size, width // size))]


def _resize(node: ir.Node) -> Types:
    shape = list(dims(node))
    axes = axes_of(node, ints(node, "axes", range(len(shape))), len(shape))
    if text(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise misfit(node, "only keep_aspect_ratio_policy 'stretch' is supported")
    targets = _target(node, 3) if input_of(node, 3) is not None else _scaled(node, [shape[axis] for axis in axes])
    if len(targets) != len(axes) or min(targets, default=1) < 1:
        raise misfit(node, "malformed target sizes", targets[:16])
    for axis, size in zip(axes, targets, strict=True):
        shape[axis] = size
    return [(dtype(node), tuple(shape))]


def _scaled(node: ir.Node, sizes: list[int]) -> tuple[int, ...]:
    """The sizes times the constant scales of a Resize, rounded down."""
    array = constant(input_of(node, 2))
    scales = [] if array is None else [float(scale) for scale in array.reshape(-1)[:16]]
    if len(scales) != len(sizes) or not all(0 < scale < math.inf for scale in scales):
        raise misfit(node, "the shape depends on data, or the scales do not match the axes", scales)
    return tuple(math.floor(size * scale) for size, scale in zip(sizes, scales, strict=True))


RULES: dict[str, Rule] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "Tile": _tile,
    "Expand": _expand,
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "Transpose": _transpose,
    "Shape": _shape,
    "Size": _size,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Resize": _resize,
}
