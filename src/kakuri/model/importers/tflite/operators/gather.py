"""GATHER, GATHER_ND, TILE, BROADCAST_TO: elements picked and repeated."""

from __future__ import annotations

import numpy as np

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import axis_of


def _gather(op: Operation) -> None:
    if op.integer("BatchDims"):
        raise op.unsupported("has batch axes", op.integer("BatchDims"))
    indices = op.input(1).source.type
    if indices not in ("INT32", "INT64"):
        raise op.unsupported("has an unsupported type of index", indices)
    axis = axis_of(op, op.integer("Axis"), len(op.shape(0)))
    if op.input(1).array is not None and op.array(1).size:
        low, high = int(op.array(1).min()), int(op.array(1).max())
        if low < 0 or high >= op.shape(0)[axis]:
            raise op.damaged("reaches outside its input", f"{low} to {high} of {op.shape(0)[axis]}")
    op.moved(op.core("Gather", [op.raw(0), op.raw(1)], {"axis": axis}))


def _tile(op: Operation) -> None:
    repeats = op.ints(1)
    if len(repeats) != len(op.shape(0)) or min(repeats, default=1) < 1:
        raise op.damaged("has repeats that do not fit its input", f"{repeats} of {op.shape(0)}")
    op.moved(op.core("Tile", [op.raw(0), op.constant("repeats", np.asarray(repeats, np.int64))]))


def _broadcast_to(op: Operation) -> None:
    shape = op.ints(1)
    if min(shape, default=1) < 1 or len(shape) < len(op.shape(0)):
        raise op.damaged("has a shape that does not fit its input", f"{shape} of {op.shape(0)}")
    op.moved(op.core("Expand", [op.raw(0), op.constant("shape", np.asarray(shape, np.int64))]))


IMPORTERS = {
    "GATHER": Importer(_gather, "GatherOptions"),
    "TILE": Importer(_tile),
    "BROADCAST_TO": Importer(_broadcast_to),
}
