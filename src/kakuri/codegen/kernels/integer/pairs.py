"""Add, Sub and Mul of two quantised tensors: ``runtime/pairs.h``.

The source rounds each operand of a sum in units of its own. As functions of one level these are tables of 256 sums,
made at generation; what is left to do per element is the sum and one multiplication.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.kernels.integer.kernel import IntegerKernel, bounds, name_of, operand_view, point
from kakuri.codegen.kernels.integer.levels import mode_of
from kakuri.codegen.kernels.integer.lookup import levels_of_type
from kakuri.codegen.literals import float_literal
from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View, memory_order
from kakuri.model.graph import static_shape
from kakuri.model.quantized import Region
from kakuri.model.quantized.fixed_point import multiply, quantize_multiplier
from kakuri.model.quantized.kernels.common import core

_LEFT_SHIFT = 20
_STEPS, _NUDGES, _NUDGE = 6, 60, 2.0**-19  # how far candidates go: units of the slopes' last place, of the offset
_NEAR, _MOST_ASKED, _TRIES = 2.0**-12, 512, 16
Int64 = NDArray[np.int64]
Floats = NDArray[Any]


@dataclass(frozen=True)
class Pairs(Operation):
    """tables: int32 (2, 256), what each operand's level contributes. product: contributions are multiplied.

    quick: as ``quick_sum`` finds it.
    """

    name: str
    operands: tuple[View, View]
    tables: View
    target: View
    multiplier: tuple[int, int]
    levels: tuple[int, int, int, int]
    product: bool
    quick: tuple[float, float, float] | None

    @property
    def reads(self) -> tuple[View, ...]:
        return self.operands

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("levels.h", "pairs.h")

    def body(self) -> str:
        axes = axes_of([self.target, *self.operands])
        inner = axes[-1] if axes else Axis(1, (1, 1, 1))
        significand, shift = self.multiplier
        fields = zip(("mode", "point", "low", "high", "columns"), (*self.levels, 16), strict=True)
        head = [
            f"static const int32_t row[48] = {{[16 ... 31] = {significand}, [32 ... 47] = {shift}}};",
            f"KK_TABLE kk_levels g = {{{', '.join(f'.{name} = {value}' for name, value in fields)}}};",
            f"const int32_t *tables = {pointer(self.tables)};",
            f"uint8_t *q = {pointer(self.target)};",
            f"const uint8_t *p0 = {pointer(self.operands[0])}, *p1 = {pointer(self.operands[1])};",
        ]
        steps = ", ".join(str(stride) for stride in inner.strides)
        call = f"kk_pairs(&g, row, tables, q, p0, p1, {inner.size}, {steps}, {int(self.product)})"
        if self.quick is not None and inner.strides == (1, 1, 1):
            head.append(f"static const float abc[3] = {{{', '.join(float_literal(item) for item in self.quick)}}};")
            head.append("(void)tables, (void)row, (void)KK_PROVEN(abc, abc);")
            call = f"KK_PROVEN(kk_pairs_proven(&g, abc, q, p0, p1, {inner.size}), {call})"
        call += ";"
        return nest(head, axes[:-1], ["q", "p0", "p1"], [call])


def _lower(walk: Lowering, region: Region) -> None:
    shape = static_shape(region.output.value)
    views = (operand_view(walk, region, 0), operand_view(walk, region, 1))
    wide = [view for view in views if view.shape == shape] or list(views)
    target = walk.new(region.output.value, memory_order(wide[0]) if wide[0].shape == shape else None)
    product = core(region).op_type == "Mul"
    tables, multiplier = _product(region) if product else _sum(region)
    largest = np.abs(tables).max(axis=1)
    bound = int(largest[0] * largest[1] if product else largest.sum())
    levels = (mode_of(region, np.array([multiplier[1]]), bound), point(region.output), *bounds(region))
    quick = None if product else quick_sum(tables, multiplier, levels[1:])
    stored = walk.weights.add(tables.astype(np.int32))
    spread = (views[0].broadcast(shape), views[1].broadcast(shape))
    walk.emit(Pairs(name_of(region), spread, stored, target, multiplier, levels, product, quick))


def quick_sum(
    tables: Int64, multiplier: tuple[int, int], levels: tuple[int, int, int]
) -> tuple[float, float, float] | None:
    """(a, b, c) such that round(x0 a + (x1 b + c)) in float32, fused, is the exact level for all 65,536 pairs.

    None when no candidate near the real factors passes the whole table; levels: zero point, low, high. Pairs that lie
    close to a half refuse most candidates, so they are asked first.
    """
    middle, low, high = levels
    exact = np.clip(multiply(tables[0][:, None] + tables[1][None, :], *multiplier) + middle, low, high)
    real = multiplier[0] * 2.0 ** (multiplier[1] - 31)
    slopes = [real * (float(table[-1]) - float(table[0])) / 255 for table in tables]
    offset = real * (float(tables[0][0]) + float(tables[1][0])) + middle
    x0, x1 = np.arange(256.0)[:, None], np.arange(256.0)[None, :]
    found = x0 * slopes[0] + x1 * slopes[1] + offset
    i, j = np.nonzero(np.abs(found - np.floor(found) - 0.5) < _NEAR)
    asked = slice(None, None, max(1, len(i) // _MOST_ASKED))
    offsets = np.array([offset + _NUDGE * k for k in range(-_NUDGES, _NUDGES + 1)]).astype(np.float32)
    tries = 0
    for pair in itertools.product(_neighbours(slopes[0]), _neighbours(slopes[1])):
        got = np.clip(_quick(i[asked, None], j[asked, None], pair, offsets), low, high)
        for index in np.flatnonzero((got == exact[i, j][asked, None]).all(axis=0)):
            if np.array_equal(np.clip(_quick(x0, x1, pair, offsets[index]), low, high), exact):
                return float(pair[0]), float(pair[1]), float(offsets[index])
            tries += 1
            if tries == _TRIES:
                return None
    return None


def _quick(x0: Floats, x1: Floats, slopes: tuple[np.float32, np.float32], c: Floats) -> Floats:
    """What the C computes: each product is added with one rounding."""
    a, b = map(float, slopes)
    inner = (x1 * b + np.float64(c)).astype(np.float32).astype(np.float64)
    found: Floats = np.rint((x0 * a + inner).astype(np.float32))
    return found


def _neighbours(value: float) -> list[np.float32]:
    """The floats around ``value``, the nearest first."""
    middle = np.float32(value)
    step = np.spacing(middle)
    return [np.float32(middle + k * step) for k in sorted(range(-_STEPS, _STEPS + 1), key=abs)]


def _centred(region: Region, index: int) -> Int64:
    operand = region.operand(index)
    centred: Int64 = levels_of_type(operand.value) - operand.zero_point[0]
    return centred


def _sum(region: Region) -> tuple[Int64, tuple[int, int]]:
    """Both operands in units of twice the larger scale, 20 bits up. Source: TFLite's reference Add."""
    scales = [region.operand(index).scale[0] for index in (0, 1)]
    unit = np.float64(np.float32(2) * max(scales))
    tables = []
    for index, scale in enumerate(scales):
        multiplier = quantize_multiplier(float(np.float64(scale) / unit))
        tables.append(multiply(_centred(region, index) << _LEFT_SHIFT, *multiplier))
    step = np.float32(1 << _LEFT_SHIFT) * region.output.scale[0]
    signs = (1, -1 if core(region).op_type == "Sub" else 1)
    return np.stack([t * s for t, s in zip(tables, signs, strict=True)]), quantize_multiplier(
        float(unit / np.float64(step))
    )


def _product(region: Region) -> tuple[Int64, tuple[int, int]]:
    """Source: TFLite's reference Mul."""
    real = region.operand(0).scale[0] * region.operand(1).scale[0] / region.output.scale[0]
    return np.stack([_centred(region, 0), _centred(region, 1)]), quantize_multiplier(float(real))


def _check(region: Region) -> Iterable[str]:
    if any(item is None for item in region.inputs):
        yield "has an operand that is not quantised"


KERNELS = tuple(IntegerKernel(name, _lower, _check) for name in ("Add", "Sub", "Mul"))
