"""SHAPE, RANK, FILL, RANGE, ZEROS_LIKE: values that the shapes alone decide."""

from __future__ import annotations

import math

import numpy as np

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.source import DTYPES


def _filled(op: Operation, shape: tuple[int, ...], value: object) -> None:
    kind = DTYPES.get(op.output.source.type)
    limits = op.builder.limits
    if kind is None or len(shape) > limits.rank or min(shape, default=0) < 0:
        raise op.damaged("makes a malformed tensor", f"{op.output.source.type} {shape[:16]}")
    if math.prod(shape) > limits.attribute_items:
        raise op.unsupported("makes a large tensor", shape)
    op.output.array = np.full(shape, value, kind)


def _shape(op: Operation) -> None:
    dims = op.shape(0)
    kind = DTYPES.get(op.output.source.type, "")
    if kind not in ("<i4", "<i8"):
        raise op.damaged("gives a shape in an unsupported type", op.output.source.type)
    op.output.array = np.asarray(dims, kind)


def _rank(op: Operation) -> None:
    _filled(op, (), len(op.shape(0)))


def _fill(op: Operation) -> None:
    value = op.array(1)
    if value.size != 1 or value.dtype.kind not in "iufb":
        raise op.damaged("needs one value", value.shape)
    _filled(op, op.ints(0), value.reshape(())[()])


def _zeros_like(op: Operation) -> None:
    _filled(op, op.shape(0), 0)


IMPORTERS = {
    "SHAPE": Importer(_shape, "ShapeOptions"),
    "RANK": Importer(_rank),
    "FILL": Importer(_fill),
    "ZEROS_LIKE": Importer(_zeros_like),
}
