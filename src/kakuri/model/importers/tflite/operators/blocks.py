"""SPACE_TO_DEPTH, DEPTH_TO_SPACE, SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND: blocks of a map as channels or as batch."""

from __future__ import annotations

import numpy as np

from kakuri.model.graph import AttributeValue, static_shape
from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.source import DTYPES
from kakuri.model.importers.tflite.tensors import Layout

_LARGEST = 1 << 16


def _block(op: Operation) -> int:
    size = op.integer("BlockSize")
    if not 1 <= size <= _LARGEST or len(op.shape(0)) != 4:
        raise op.damaged("has a malformed block", f"{size} of {op.shape(0)}")
    return size


def _depth_to_space(op: Operation) -> None:
    attributes: dict[str, AttributeValue] = {"blocksize": _block(op), "mode": "DCR"}
    op.moved(op.core("DepthToSpace", [op.raw(0, Layout.FIRST)], attributes), Layout.FIRST)


def _space_to_depth(op: Operation) -> None:
    op.moved(op.core("SpaceToDepth", [op.raw(0, Layout.FIRST)], {"blocksize": _block(op)}), Layout.FIRST)


def _margins(op: Operation) -> tuple[tuple[int, int], list[list[int]]]:
    """Block height and width, and (before, after) of height and width."""
    block, margins = op.ints(1), op.array(2)
    if len(op.shape(0)) != 4 or len(block) != 2 or margins.shape != (2, 2) or margins.dtype.kind not in "iu":
        raise op.unsupported("works on maps of rank 4 only", f"{op.shape(0)}, block {block}")
    if not all(1 <= size <= _LARGEST for size in block) or int(margins.min()) < 0 or int(margins.max()) > _LARGEST:
        raise op.damaged("has a malformed block", f"{block}, {margins.tolist()}")
    return (block[0], block[1]), [[int(item) for item in row] for row in margins]


def _space_to_batch(op: Operation) -> None:
    (rows, columns), ((top, bottom), (left, right)) = _margins(op)
    value, source = op.raw(0, Layout.FIRST), op.input(0)
    if top or bottom or left or right:
        amounts = op.constant("pads", np.asarray([0, 0, top, left, 0, 0, bottom, right], np.int64))
        zero = 0 if source.quantization is None else source.quantization.zero_point[0]
        fill = np.asarray(zero, DTYPES.get(source.source.type))
        value = op.node("Pad", [value, amounts, op.constant("fill", fill)])
    n, c, h, w = static_shape(value)
    if h % rows or w % columns:
        raise op.damaged("has a block that does not divide its input", f"{(rows, columns)} of {(h, w)}")
    value = op.builder.reshape(value, (n, c, h // rows, rows, w // columns, columns), f"{op.label}.blocks")
    value = op.core("Transpose", [value], {"perm": [3, 5, 0, 1, 2, 4]})
    shape = (rows * columns * n, c, h // rows, w // columns)
    op.moved(op.builder.reshape(value, shape, f"{op.label}.batch"), Layout.FIRST)


def _batch_to_space(op: Operation) -> None:
    (rows, columns), ((top, bottom), (left, right)) = _margins(op)
    value = op.raw(0, Layout.FIRST)
    n, c, h, w = static_shape(value)
    if n % (rows * columns) or top + bottom >= h * rows or left + right >= w * columns:
        raise op.damaged("has a block that does not divide its batch", f"{(rows, columns)} of {n}")
    rest = n // (rows * columns)
    value = op.builder.reshape(value, (rows, columns, rest, c, h, w), f"{op.label}.blocks")
    value = op.core("Transpose", [value], {"perm": [2, 3, 4, 0, 5, 1]})
    value = op.builder.reshape(value, (rest, c, h * rows, w * columns), f"{op.label}.map")
    if top or bottom or left or right:
        lists = ([top, left], [h * rows - bottom, w * columns - right], [2, 3])
        names = ("starts", "ends", "axes")
        bounds = [op.constant(name, np.asarray(item, np.int64)) for name, item in zip(names, lists, strict=True)]
        value = op.node("Slice", [value, *bounds])
    op.moved(value, Layout.FIRST)


IMPORTERS = {
    "DEPTH_TO_SPACE": Importer(_depth_to_space, "DepthToSpaceOptions"),
    "SPACE_TO_DEPTH": Importer(_space_to_depth, "SpaceToDepthOptions"),
    "SPACE_TO_BATCH_ND": Importer(_space_to_batch),
    "BATCH_TO_SPACE_ND": Importer(_batch_to_space),
}
