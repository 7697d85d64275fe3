"""Operators that only say how elements are seen: reshaping, transposing, slicing, splitting. Most cost nothing."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.lowering import Lowering
from kakuri.model.graph import constant, input_of, integer, ints, required_input, static_shape
from kakuri.model.slices import kept_elements


def _reshape(walk: Lowering, node: ir.Node) -> None:
    view, shape = walk.view(node), static_shape(node.outputs[0])
    found = view.reshape(shape)
    if found is None:
        found = walk.dense(view, node.name or "reshape").reshape(shape)
    assert found is not None, "a dense view has every shape"
    walk.alias(node.outputs[0], found)


def _transpose(walk: Lowering, node: ir.Node) -> None:
    rank = len(static_shape(node.outputs[0]))
    walk.alias(node.outputs[0], walk.view(node).transpose(ints(node, "perm", tuple(reversed(range(rank))))))


def _identity(walk: Lowering, node: ir.Node) -> None:
    walk.alias(node.outputs[0], walk.view(node))


def _slice(walk: Lowering, node: ir.Node) -> None:
    view = walk.view(node)
    starts, ends = _integers(node, 1), _integers(node, 2)
    axes = _integers(node, 3) if input_of(node, 3) is not None else list(range(len(starts)))
    steps = _integers(node, 4) if input_of(node, 4) is not None else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        kept = kept_elements(start, end, step, view.shape[axis % len(view.shape)])
        view = view.slice(axis % len(view.shape), kept.start, len(kept), step)
    walk.alias(node.outputs[0], view)


def _split(walk: Lowering, node: ir.Node) -> None:
    view = walk.view(node)
    axis, start = integer(node, "axis", 0) % len(view.shape), 0
    for value in node.outputs:
        size = static_shape(value)[axis]
        walk.alias(value, view.slice(axis, start, size))
        start += size


def _expand(walk: Lowering, node: ir.Node) -> None:
    walk.alias(node.outputs[0], walk.view(node).broadcast(static_shape(node.outputs[0])))


def _integers(node: ir.Node, index: int) -> list[int]:
    array = constant(input_of(node, index))
    assert array is not None, "shape inference refuses computed slices"
    return [int(item) for item in np.asarray(array).reshape(-1)]


def _depth_to_space(walk: Lowering, node: ir.Node) -> None:
    n, c, h, w = static_shape(required_input(node))
    b = integer(node, "blocksize", 1)
    mode = node.attributes.get("mode")
    column_first = mode is not None and mode.as_string() == "CRD"
    parts = (n, c // (b * b), b, b, h, w) if column_first else (n, b, b, c // (b * b), h, w)
    order = (0, 1, 4, 2, 5, 3) if column_first else (0, 3, 4, 1, 5, 2)
    _regroup(walk, node, parts, order)


def _space_to_depth(walk: Lowering, node: ir.Node) -> None:
    n, c, h, w = static_shape(required_input(node))
    b = integer(node, "blocksize", 1)
    _regroup(walk, node, (n, c, h // b, b, w // b, b), (0, 3, 5, 1, 2, 4))


def _regroup(walk: Lowering, node: ir.Node, parts: tuple[int, ...], order: tuple[int, ...]) -> None:
    view = walk.view(node)
    split = view.reshape(parts)
    if split is None:
        split = walk.dense(view).reshape(parts)
    assert split is not None, "a dense view has every shape"
    turned = split.transpose(order)
    shape = static_shape(node.outputs[0])
    found = turned.reshape(shape)
    if found is None:
        found = walk.dense(turned, node.name or "regroup").reshape(shape)
    assert found is not None, "a dense view has every shape"
    walk.alias(node.outputs[0], found)


KERNELS = (
    *(Kernel(name, _reshape) for name in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")),
    Kernel("Transpose", _transpose),
    Kernel("Identity", _identity),
    Kernel("Slice", _slice),
    Kernel("Split", _split),
    Kernel("Expand", _expand),
    Kernel("DepthToSpace", _depth_to_space),
    Kernel("SpaceToDepth", _space_to_depth),
)
