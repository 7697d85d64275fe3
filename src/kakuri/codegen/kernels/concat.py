"""Joining: parts that were placed in the result are there already; the others are copied."""

from __future__ import annotations

import onnx_ir as ir

from kakuri.codegen.copy import Copy
from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.views import memory_order
from kakuri.model.graph import integer, static_shape


def _lower(walk: Lowering, node: ir.Node) -> None:
    value = node.outputs[0]
    parts = [walk.view(node, index) for index in range(len(node.inputs))]
    axis, start = integer(node, "axis", 0) % len(static_shape(value)), 0
    target = walk.parent_of(value, memory_order(max(parts, key=lambda part: part.size)))
    for part in parts:
        place = target.slice(axis, start, part.shape[axis])
        if part.storage is not place.storage:
            walk.emit(Copy(node.name or "concat", part, place))
        start += part.shape[axis]


KERNELS = (Kernel("Concat", _lower),)
