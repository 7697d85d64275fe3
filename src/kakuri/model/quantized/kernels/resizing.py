"""Resize, bilinear. Source: TFLite's reference kernels: float32 for uint8, 10-bit fractions for int8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.graph import Array, static_shape, text
from kakuri.model.quantized.fixed_point import Int64
from kakuri.model.quantized.kernels.common import Kernel, core, given, is_unsigned
from kakuri.model.quantized.reading import Region

_ONE = 1 << 10


def resize(region: Region, arrays: Sequence[Array | None]) -> Int64:
    node, data = core(region), given(region, arrays, 0)
    if text(node, "mode", "nearest") != "linear":
        raise KakuriError("KK-M21", "no integer kernel for this Resize", where=node.name)
    mode = text(node, "coordinate_transformation_mode", "half_pixel")
    sizes = static_shape(node.outputs[0])[2:]
    unsigned = is_unsigned(region)
    (y0, y1, dy), (x0, x1, dx) = (places(data.shape[2 + axis], sizes[axis], mode, unsigned=unsigned) for axis in (0, 1))
    one: Any = np.float32(1) if is_unsigned(region) else np.int64(_ONE)
    corners = [data[:, :, y][:, :, :, x] for y, x in ((y0, x0), (y1, x0), (y0, x1), (y1, x1))]
    rows, columns = dy[:, None], dx[None, :]
    weights = [(one - rows, one - columns), (rows, one - columns), (one - rows, columns), (rows, columns)]
    if is_unsigned(region):
        terms = [c.astype(np.float32) * a * b for c, (a, b) in zip(corners, weights, strict=True)]
        levels: Int64 = (terms[0] + terms[1] + terms[2] + terms[3] + np.float32(0.5)).astype(np.int64)
        return levels
    parts = [c * a * b for c, (a, b) in zip(corners, weights, strict=True)]
    total: Int64 = parts[0] + parts[1] + parts[2] + parts[3]
    rounded: Int64 = total + np.where(total > 0, 1 << 19, -(1 << 19))
    return np.where(rounded >= 0, rounded >> 20, -(-rounded >> 20))


Places = tuple[Int64, Int64, NDArray[Any]]


def places(size: int, wanted: int, mode: str, *, unsigned: bool) -> Places:
    """Lower and upper neighbour and the distance from the lower one, per output index: float32, or in 1/1024."""
    return (_float_places if unsigned else _integer_places)(size, wanted, mode)


def _float_places(size: int, wanted: int, mode: str) -> Places:
    corners = mode == "align_corners" and wanted > 1
    scale = np.float32(size - 1) / np.float32(wanted - 1) if corners else np.float32(size) / np.float32(wanted)
    index = np.arange(wanted, dtype=np.float32)
    half = np.float32(0.5)
    place = (index + half) * scale - half if mode == "half_pixel" else index * scale
    low = np.maximum(np.floor(place).astype(np.int64), 0)
    high = np.minimum(np.ceil(place).astype(np.int64), size - 1)
    return low, high, (place - low.astype(np.float32)).astype(np.float32)


def _integer_places(size: int, wanted: int, mode: str) -> Places:
    corners = mode == "align_corners" and wanted > 1
    scale = (
        (_ONE * (size - 1) + (wanted - 1) // 2) // (wanted - 1) if corners else (_ONE * size + wanted // 2) // wanted
    )
    index = np.arange(wanted, dtype=np.int64)
    place = index * scale + scale // 2 - _ONE // 2 if mode == "half_pixel" else index * scale
    low = np.maximum(_towards_zero(place), 0)
    high = np.minimum(_towards_zero(place + _ONE - 1), size - 1)
    return low, high, place - low * _ONE


def _towards_zero(place: Int64) -> Int64:
    return np.where(place >= 0, place // _ONE, -(-place // _ONE))


KERNELS: dict[str, Kernel] = {"Resize": resize}
