"""Shapes of reductions along axes."""

from __future__ import annotations

import onnx_ir as ir

from kakuri.model.graph import integer
from kakuri.model.shapes.common import Rule, Types, axes_of, axis_of, const_ints, dims, dtype, misfit

_REDUCE = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"


def _reduce(node: ir.Node) -> Types:
    shape, axes = dims(node), const_ints(node, 1)
    if not axes and integer(node, "noop_with_empty_axes", 0):
        return [(dtype(node), shape)]
    gone = set(axes_of(node, axes, len(shape))) if axes else set(range(len(shape)))
    keep = integer(node, "keepdims", 1)
    return [
        (dtype(node), tuple(1 if axis in gone else size for axis, size in enumerate(shape) if keep or axis not in gone))
    ]


def _arg(node: ir.Node) -> Types:
    shape = dims(node)
    gone = axis_of(node, integer(node, "axis", 0), len(shape))
    middle = (1,) if integer(node, "keepdims", 1) else ()
    return [(ir.DataType.INT64, shape[:gone] + middle + shape[gone + 1 :])]


def _top_k(node: ir.Node) -> Types:
    shape, count = dims(node), const_ints(node, 1) or ()
    axis = axis_of(node, integer(node, "axis", -1), len(shape))
    if len(count) != 1 or not 0 <= count[0] <= shape[axis]:
        raise misfit(node, "k out of range", count[:4])
    result = shape[:axis] + count + shape[axis + 1 :]
    return [(dtype(node), result), (ir.DataType.INT64, result)]


RULES: dict[str, Rule] = {
    **dict.fromkeys((f"Reduce{kind}" for kind in _REDUCE.split()), _reduce),
    "ArgMax": _arg,
    "ArgMin": _arg,
    "TopK": _top_k,
}
