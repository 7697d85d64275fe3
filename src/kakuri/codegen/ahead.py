"""What must be known of a value before its memory is made: the halo its readers want, and the join it is part of.

Requires: a prepared graph (windows state their pads; no negative pads).
Guarantees: a value is part of at most one join; values whose result is a view of another one are part of none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

from kakuri.codegen.views import NO_HALO, Halo
from kakuri.model.graph import constant, integer, ints, is_op, static_shape
from kakuri.model.quantized import Region

#: Operators whose result is a view of their input; they own no storage that could be placed.
VIEW_OPERATORS = frozenset(
    {
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Slice",
        "Split",
        "Identity",
        "Expand",
        "DepthToSpace",
        "SpaceToDepth",
        "Gather",
    }
)


_PLACED_TYPES = (ir.DataType.FLOAT, ir.DataType.INT8, ir.DataType.UINT8)


@dataclass(frozen=True)
class Placement:
    """A value that is written as a run of ``axis`` of another value, from ``start``."""

    parent: ir.Value
    axis: int
    start: int


def window_pads(node: ir.Node, rank: int) -> Halo:
    """(top, bottom, left, right) of a window operator over a rank-3 or rank-4 map."""
    pads = ints(node, "pads", (0,) * (2 * (rank - 2)))
    if rank == 3:
        return 0, 0, pads[0], pads[1]
    return pads[0], pads[2], pads[1], pads[3]


def halos(net: ir.Model, regions: Iterable[Region] = ()) -> dict[ir.Value, Halo]:
    """Per value, the largest padding of the convolutions that read it, or that read a join it is part of.

    regions: the quantised ones, whose convolutions read integers.
    """
    wanted: dict[ir.Value, Halo] = {}
    for region in regions:
        if region.core is not None and is_op(region.core, "Conv"):
            value = region.operand(0).value
            _raise(wanted, value, window_pads(region.core, len(static_shape(value))))
    for node in net.graph:
        if is_op(node, "Conv") and node.inputs[0] is not None:
            pads = window_pads(node, len(static_shape(node.inputs[0])))
            _raise(wanted, node.inputs[0], pads)
    for value, place in placements(net).items():
        if place.axis == 1:
            _raise(wanted, place.parent, wanted.get(value, NO_HALO))
    return {value: halo for value, halo in wanted.items() if halo != NO_HALO}


def _raise(wanted: dict[ir.Value, Halo], value: ir.Value, halo: Halo) -> None:
    old = wanted.get(value, NO_HALO)
    wanted[value] = (max(old[0], halo[0]), max(old[1], halo[1]), max(old[2], halo[2]), max(old[3], halo[3]))


def placements(net: ir.Model) -> dict[ir.Value, Placement]:
    """The values that are written straight into the join that reads them. Inner joins come before outer ones."""
    found: dict[ir.Value, Placement] = {}
    for node in net.graph:
        if not is_op(node, "Concat"):
            continue
        rank = len(static_shape(node.outputs[0]))
        axis, start = integer(node, "axis", 0) % rank, 0
        for value in node.inputs:
            assert value is not None
            size = static_shape(value)[axis]
            if _can_be_placed(value, node) and value not in found:
                found[value] = Placement(node.outputs[0], axis, start)
            start += size
    return found


def _can_be_placed(value: ir.Value, join: ir.Node) -> bool:
    producer = value.producer()
    if producer is None or constant(value) is not None or value.is_graph_output():
        return False
    once = sum(1 for item in join.inputs if item is value) == 1
    return once and producer.op_type not in VIEW_OPERATORS and value.dtype in _PLACED_TYPES
