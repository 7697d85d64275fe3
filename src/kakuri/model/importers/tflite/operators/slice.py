"""SLICE, STRIDED_SLICE, REVERSE_V2 -> Slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import arranged, axis_of, common
from kakuri.model.importers.tflite.tensors import Layout

_BEFORE_THE_FIRST = -(1 << 31)


def _cut(op: Operation, starts: Sequence[int], ends: Sequence[int], steps: Sequence[int], layout: Layout) -> ir.Value:
    """The elements from ``starts`` to ``ends`` of every axis of the file's layout."""
    lists = [arranged(items, layout) for items in (starts, ends, range(len(starts)), steps)]
    lists[2] = list(range(len(starts)))
    names = ("starts", "ends", "axes", "steps")
    values = [op.constant(name, np.asarray(items, np.int64)) for name, items in zip(names, lists, strict=True)]
    return op.core("Slice", [op.raw(0, layout), *values])


def _slice(op: Operation) -> None:
    shape, begin, size = op.shape(0), op.ints(1), op.ints(2)
    if not len(shape) == len(begin) == len(size):
        raise op.damaged("has a start or size that does not fit its input", f"{begin}, {size} of {shape}")
    ends = [dim if s == -1 else b + s for dim, b, s in zip(shape, begin, size, strict=True)]
    if not all(0 <= b <= e <= dim for dim, b, e in zip(shape, begin, ends, strict=True)):
        raise op.damaged("reaches outside its input", f"{begin}, {size} of {shape}")
    layout = common(op, (0,))
    op.moved(_cut(op, begin, ends, [1] * len(shape), layout), layout)


def _strided_slice(op: Operation) -> None:
    shape, begin, end, steps = op.shape(0), op.ints(1), op.ints(2), op.ints(3)
    if op.integer("EllipsisMask") or op.integer("NewAxisMask") or op.integer("Offset"):
        raise op.unsupported("has an ellipsis, a new axis or an offset")
    if not len(begin) == len(end) == len(steps) or len(begin) > len(shape) or 0 in steps:
        raise op.damaged("has bounds that do not fit its input", f"{begin}, {end}, {steps} of {shape}")
    rest = len(shape) - len(begin)
    bounds = [_bounds(op, axis, shape[axis], (begin[axis], end[axis], steps[axis])) for axis in range(len(begin))]
    starts = [low for low, _, _ in bounds] + [0] * rest
    ends = [high for _, high, _ in bounds] + list(shape[len(begin) :])
    value = _cut(op, starts, ends, [step for _, _, step in bounds] + [1] * rest, Layout.SOURCE)
    shrunk = op.integer("ShrinkAxisMask")
    if shrunk:
        kept = [int(size) for axis, size in enumerate(value.shape or ()) if not shrunk >> axis & 1]  # type: ignore[arg-type]
        value = op.builder.reshape(value, kept, f"{op.label}.shrunk")
    op.moved(value)


def _bounds(op: Operation, axis: int, size: int, given: tuple[int, int, int]) -> tuple[int, int, int]:
    """Start, end and step of one axis as ONNX counts them."""
    begin, end, step = given
    if op.integer("ShrinkAxisMask") >> axis & 1:
        index = begin + size if begin < 0 else begin
        if not 0 <= index < size:
            raise op.damaged("reaches outside its input", f"{begin} of {size}")
        return index, index + 1, 1
    low, high = (0, size) if step > 0 else (size - 1, _BEFORE_THE_FIRST)
    start = low if op.integer("BeginMask") >> axis & 1 else begin
    return start, high if op.integer("EndMask") >> axis & 1 else end, step


def _reverse(op: Operation) -> None:
    shape, axes = op.shape(0), {axis_of(op, axis, len(op.shape(0))) for axis in op.ints(1)}
    starts = [size - 1 if axis in axes else 0 for axis, size in enumerate(shape)]
    ends = [_BEFORE_THE_FIRST if axis in axes else size for axis, size in enumerate(shape)]
    layout = common(op, (0,))
    op.moved(_cut(op, starts, ends, [-1 if axis in axes else 1 for axis in range(len(shape))], layout), layout)


IMPORTERS = {
    "SLICE": Importer(_slice),
    "STRIDED_SLICE": Importer(_strided_slice, "StridedSliceOptions"),
    "REVERSE_V2": Importer(_reverse),
}
