"""What the shape rules share: reading inputs, broadcasting, axes, and the one error they raise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from kakuri.errors import KakuriError
from kakuri.model.graph import constant, input_of, required_input, static_shape

Dims = tuple[int, ...]
Types = list[tuple[ir.DataType, Dims]]
Rule = Callable[[ir.Node], Types]


def where(node: ir.Node) -> str:
    """How errors call ``node``."""
    return node.name or (node.outputs[0].name if node.outputs else "") or node.op_type


def misfit(node: ir.Node, what: str, got: object = "") -> KakuriError:
    """KK-M07 for a node whose inputs and attributes do not fit each other."""
    return KakuriError("KK-M07", f"{node.op_type}: {what}", where=where(node), got=got)


def dims(node: ir.Node, index: int = 0) -> Dims:
    return static_shape(required_input(node, index))


def dtype(node: ir.Node, index: int = 0) -> ir.DataType:
    found = required_input(node, index).dtype
    if found is None:
        raise misfit(node, f"input {index} has no type")
    return found


def const_ints(node: ir.Node, index: int) -> tuple[int, ...] | None:
    """The integers at a constant input of rank 0 or 1; None when the input is absent. KK-M07 when it is computed."""
    value = input_of(node, index)
    if value is None:
        return None
    array = constant(value)
    if array is None:
        raise KakuriError(
            "KK-M07",
            f"the shape that {node.op_type} computes depends on data",
            where=where(node),
            got=value.name,
            hint="export with fixed input sizes",
        )
    if array.ndim > 1 or array.dtype.kind not in "iu" or array.size > 1024:
        raise misfit(node, f"input {index} must be a short list of integers", f"{array.dtype} {array.shape}")
    return tuple(int(item) for item in array.reshape(-1))


def axis_of(node: ir.Node, axis: int, rank: int) -> int:
    """``axis`` counted from 0. Raises KK-M07 when there is no such axis."""
    if not -rank <= axis < rank:
        raise misfit(node, "axis out of range", f"{axis} for rank {rank}")
    return axis % rank


def axes_of(node: ir.Node, axes: Sequence[int], rank: int) -> list[int]:
    """Distinct axes counted from 0, in the given order."""
    found = [axis_of(node, axis, rank) for axis in axes]
    if len(set(found)) != len(found):
        raise misfit(node, "an axis is given twice", list(axes)[:16])
    return found


def broadcast(node: ir.Node, shapes: Sequence[Dims]) -> Dims:
    """The common shape under multidirectional broadcasting."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = []
    for sizes in zip(*padded, strict=True):
        wide = {size for size in sizes if size != 1}
        if len(wide) > 1:
            raise misfit(node, "shapes do not broadcast", list(shapes)[:4])
        result.append(wide.pop() if wide else 1)
    return tuple(result)
