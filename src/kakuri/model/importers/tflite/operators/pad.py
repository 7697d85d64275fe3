"""PAD, PADV2, MIRROR_PAD. Integers are padded with the zero point."""

from __future__ import annotations

import numpy as np

from kakuri.model.importers.tflite import schema
from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import arranged, common
from kakuri.model.importers.tflite.source import DTYPES

_LARGEST = 1 << 20


def _amounts(op: Operation) -> tuple[list[int], list[int]]:
    """Padding before and after each axis of the file's layout."""
    array, rank = op.array(1), len(op.shape(0))
    if array.shape != (rank, 2) or array.dtype.kind not in "iu" or array.size == 0:
        raise op.damaged("has paddings that do not fit its input", array.shape)
    if int(array.min()) < 0 or int(array.max()) > _LARGEST:
        raise op.damaged("has paddings out of range", f"{int(array.min())} to {int(array.max())}")
    return [int(item) for item in array[:, 0]], [int(item) for item in array[:, 1]]


def _pad(op: Operation) -> None:
    before, after = _amounts(op)
    source = op.input(0)
    kind = DTYPES.get(source.source.type)
    if kind is None:
        raise op.unsupported("has an unsupported type", source.source.type)
    layout = common(op, (0,))
    amounts = op.constant("pads", np.asarray(arranged(before, layout) + arranged(after, layout), np.int64))
    fill = np.asarray(0 if source.quantization is None else source.quantization.zero_point[0], kind)
    if op.has(2):
        fill = op.array(2)
        if fill.dtype != np.dtype(kind) or fill.size != 1:
            raise op.damaged("fills with something else than one element of its type", f"{fill.dtype} {fill.shape}")
        fill = fill.reshape(())
    op.moved(op.core("Pad", [op.raw(0, layout), amounts, op.constant("fill", fill)]), layout)


def _mirror_pad(op: Operation) -> None:
    before, after = _amounts(op)
    if schema.names("MirrorPadMode").get(op.integer("Mode")) != "REFLECT":
        raise op.unsupported("pads symmetrically")
    if any(max(pair) >= size for pair, size in zip(zip(before, after, strict=True), op.shape(0), strict=True)):
        raise op.damaged("has paddings that do not fit its input", f"{before}, {after} of {op.shape(0)}")
    layout = common(op, (0,))
    amounts = op.constant("pads", np.asarray(arranged(before, layout) + arranged(after, layout), np.int64))
    op.moved(op.core("Pad", [op.raw(0, layout), amounts], {"mode": "reflect"}), layout)


IMPORTERS = {
    "PAD": Importer(_pad),
    "PADV2": Importer(_pad),
    "MIRROR_PAD": Importer(_mirror_pad, "MirrorPadOptions"),
}
