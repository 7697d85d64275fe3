"""CONCATENATION, PACK, UNPACK, SPLIT, SPLIT_V: values side by side and apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import axis_of, common, placed


def _concatenation(op: Operation) -> None:
    indices = range(len(op.inputs))
    layout, rank = common(op, indices), len(op.shape(0))
    if any(len(op.shape(index)) != rank for index in indices):
        raise op.damaged("joins tensors of different rank")
    attributes = {"axis": placed(axis_of(op, op.integer("Axis"), rank), layout)}
    if op.integer("FusedActivationFunction") == 0 and _same_scales(op):
        op.moved(op.core("Concat", [op.raw(index, layout) for index in indices], attributes), layout)
    else:
        value = op.core("Concat", [op.real(index, layout) for index in indices], attributes)
        op.computed(op.activated(value), layout)


def _same_scales(op: Operation) -> bool:
    known = [None if t is None or t.quantization is None else t.quantization for t in (*op.inputs, op.output)]
    pairs = {None if q is None else (float(q.scale[0]), int(q.zero_point[0])) for q in known}
    return len(pairs) == 1


def _pack(op: Operation) -> None:
    shape = op.shape(0)
    axis = axis_of(op, op.integer("Axis"), len(shape) + 1)
    if any(op.shape(index) != shape for index in range(len(op.inputs))):
        raise op.damaged("packs tensors of different shapes")
    wide = (*shape[:axis], 1, *shape[axis:])
    parts = [op.builder.reshape(op.raw(i), wide, f"{op.label}.part") for i in range(len(op.inputs))]
    op.moved(op.core("Concat", parts, {"axis": axis}))


def _unpack(op: Operation) -> None:
    shape = op.shape(0)
    axis = axis_of(op, op.integer("Axis"), len(shape))
    if shape[axis] != len(op.outputs):
        raise op.damaged("has a wrong number of outputs", f"{len(op.outputs)} of {shape[axis]}")
    sizes = op.constant("sizes", np.ones(shape[axis], np.int64))
    parts = op.cores("Split", [op.raw(0), sizes], {"axis": axis}, outputs=shape[axis])
    for index, part in enumerate(parts):
        dims = (*shape[:axis], *shape[axis + 1 :])
        op.moved(op.builder.reshape(part, dims, f"{op.label}.part"), index=index)


def _split_into(op: Operation, data: int, axis: int, sizes: Sequence[int]) -> None:
    layout = common(op, (data,))
    if len(sizes) != len(op.outputs) or min(sizes, default=0) < 0:
        raise op.damaged("has a wrong number of outputs", f"{len(op.outputs)}, sizes {list(sizes)[:8]}")
    length = op.constant("sizes", np.asarray(sizes, np.int64))
    parts = op.cores("Split", [op.raw(data, layout), length], {"axis": placed(axis, layout)}, outputs=len(sizes))
    for index, part in enumerate(parts):
        op.moved(part, layout, index)


def _split(op: Operation) -> None:
    axis = axis_of(op, _one(op, 0), len(op.shape(1)))
    size, count = op.shape(1)[axis], len(op.outputs)
    if size % count:
        raise op.damaged("does not divide its axis", f"{size} by {count}")
    _split_into(op, 1, axis, [size // count] * count)


def _split_v(op: Operation) -> None:
    axis = axis_of(op, _one(op, 2), len(op.shape(0)))
    sizes = list(op.ints(1))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = op.shape(0)[axis] - sum(size for size in sizes if size != -1)
    _split_into(op, 0, axis, sizes)


def _one(op: Operation, index: int) -> int:
    found = op.ints(index)
    if len(found) != 1:
        raise op.damaged("needs one axis", found[:4])
    return found[0]


IMPORTERS = {
    "CONCATENATION": Importer(_concatenation, "ConcatenationOptions"),
    "PACK": Importer(_pack, "PackOptions"),
    "UNPACK": Importer(_unpack, "UnpackOptions"),
    "SPLIT": Importer(_split),
    "SPLIT_V": Importer(_split_v),
}
