"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR -> Resize."""

from __future__ import annotations

import numpy as np

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.tensors import Layout


def _target(op: Operation) -> tuple[int, int, int, int]:
    shape, size = op.shape(0), op.ints(1)
    if len(shape) != 4 or len(size) != 2 or min(size) < 1:
        raise op.damaged("has a size that does not fit its input", f"{size} of {shape}")
    return shape[0], shape[3], size[0], size[1]


def _coordinates(op: Operation) -> str:
    corners, half = op.integer("AlignCorners"), op.integer("HalfPixelCenters")
    if corners and half:
        raise op.damaged("aligns both corners and half pixels")
    return "align_corners" if corners else "half_pixel" if half else "asymmetric"


def _bilinear(op: Operation) -> None:
    sizes = op.constant("sizes", np.asarray(_target(op), np.int64))
    attributes = {"mode": "linear", "coordinate_transformation_mode": _coordinates(op)}
    op.computed(op.core("Resize", [op.real(0, Layout.FIRST), None, None, sizes], attributes), Layout.FIRST)


def _nearest(op: Operation) -> None:
    """Rounds down from an edge, or half up from a corner or a centre."""
    sizes, coordinates = op.constant("sizes", np.asarray(_target(op), np.int64)), _coordinates(op)
    rounding = "floor" if coordinates == "asymmetric" else "round_prefer_ceil"
    attributes = {"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    op.moved(op.core("Resize", [op.raw(0, Layout.FIRST), None, None, sizes], attributes), Layout.FIRST)


IMPORTERS = {
    "RESIZE_BILINEAR": Importer(_bilinear, "ResizeBilinearOptions"),
    "RESIZE_NEAREST_NEIGHBOR": Importer(_nearest, "ResizeNearestNeighborOptions"),
}
