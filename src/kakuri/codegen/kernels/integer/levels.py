"""How exact sums become levels: the table and the mode of ``runtime/levels.h``.

Guarantees: the same integers as ``kakuri.model.quantized``. One rounding may stand for the source's two, since for
x s >= 0 both are floor((x s + 2^30 + 2^(30 + r)) / 2^(31 + r)), the floor of a floor, and below 0 the second
rounding's halves go down, which is 2^31 less before the division; and a sum below 0 never exceeds the zero point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.kernels.integer.kernel import bounds, point
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.views import View
from kakuri.model.quantized import Region
from kakuri.model.quantized.fixed_point import quantize_multipliers
from kakuri.model.quantized.kernels.convolution import real_multipliers, rounds_in_double

GENERAL, POSITIVE, SIGNED, DOUBLE = range(4)
COLUMNS_ROUND = 16  # vectors are loaded whole
_LARGEST_SUM, _LARGEST_SHIFT = 1 << 30, 20  # 64 bits hold everything below these
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Levels:
    """table: int32 (groups, 3, columns): bias, and significand and shift or the halves of a double."""

    table: View
    mode: int
    point: int
    low: int
    high: int

    @property
    def columns(self) -> int:
        return self.table.shape[2]

    @property
    def group_step(self) -> int:
        """Table entries of a group."""
        return 3 * self.columns

    def literal(self) -> str:
        fields = {name: getattr(self, name) for name in ("mode", "point", "low", "high", "columns")}
        return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"


def levels_of(walk: Lowering, region: Region, bias: Int64, largest: int, groups: int = 1) -> Levels:
    """For a Conv or Gemm region. bias: (channels,), as the sums start. largest: a bound of every |sum|."""
    reals = np.broadcast_to(real_multipliers(region), bias.shape)
    if rounds_in_double(region):
        halves = np.ascontiguousarray(reals, "<f8").view("<i4").reshape(-1, 2).astype(np.int64)
        return _levels(walk, region, [bias, halves[:, 0], halves[:, 1]], DOUBLE, groups)
    significand, shift = quantize_multipliers(reals)
    return _levels(walk, region, [bias, significand, shift], mode_of(region, shift, largest), groups)


def mode_of(region: Region, shift: Int64, largest: int) -> int:
    """The quickest mode that is exact for every sum up to ``largest`` in size."""
    low, _ = bounds(region)
    if largest >= _LARGEST_SUM or shift.max() > -1 or shift.min() < -_LARGEST_SHIFT:
        return GENERAL
    return POSITIVE if low >= point(region.output) else SIGNED


def _levels(walk: Lowering, region: Region, rows: list[Int64], mode: int, groups: int) -> Levels:
    each = len(rows[0]) // groups
    table = np.zeros((groups, 3, -(-each // COLUMNS_ROUND) * COLUMNS_ROUND), np.int32)
    table[:, 2] = 0 if mode == DOUBLE else -1
    for index, row in enumerate(rows):
        table[:, index, :each] = ((row + (1 << 31)) % (1 << 32) - (1 << 31)).reshape(groups, each)
    return Levels(walk.weights.add(table), mode, point(region.output), *bounds(region))
