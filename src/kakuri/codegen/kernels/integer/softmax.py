"""Quantised Softmax: ``runtime/level_softmax.h``; the exponentials are a table by distance from the largest level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kakuri.codegen.kernels.integer.kernel import IntegerKernel, bounds, lift, name_of, operand_view
from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.model.graph import integer
from kakuri.model.quantized import Region
from kakuri.model.quantized.fixed_point import exp_on_negative, high_multiply, quantize_multiplier, wrap
from kakuri.model.quantized.kernels.common import core

_DIFFERENCE_BITS = 5


@dataclass(frozen=True)
class LevelSoftmax(Operation):
    """source, target: of one shape, the last axis consecutive in both. near: distances that count at all."""

    name: str
    source: View
    target: View
    exponentials: View
    near: int
    start: int
    low: int
    high: int

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("levels.h", "level_softmax.h")

    def body(self) -> str:
        rows = [View(v.storage, v.offset, v.shape[:-1], v.strides[:-1]) for v in (self.target, self.source)]
        axes: list[Axis] = axes_of(rows)
        head = [f"uint8_t *y = {pointer(self.target)};", f"const uint8_t *x = {pointer(self.source)};"]
        head.append(f"const int32_t *table = {pointer(self.exponentials)};")
        numbers = f"{self.source.shape[-1]}, {self.near}, {self.start}, {self.low}, {self.high}"
        return nest(head, axes, ["y", "x"], [f"kk_level_softmax(x, y, table, {numbers});"])


def _lower(walk: Lowering, region: Region) -> None:
    view, value = operand_view(walk, region), region.output.value
    rank = len(view.shape)
    axis = integer(core(region), "axis", -1) % rank
    order = (*(i for i in range(rank) if i != axis), axis)
    source = walk.arranged(view, order) if view.strides[axis] != 1 and view.shape[axis] != 1 else view
    target = walk.new(value, order)
    if target.strides[axis] != 1 and target.shape[axis] != 1:
        target = walk.scratch(target.shape, order, target.element)
        walk.alias(value, target)
    table, near = exponentials(region)
    low, high = bounds(region)
    start = lift(value) + int(np.iinfo(np.int8 if lift(value) else np.uint8).min)
    stored = walk.weights.add(table)
    walk.emit(
        LevelSoftmax(name_of(region), source.transpose(order), target.transpose(order), stored, near, start, low, high)
    )


def exponentials(region: Region) -> tuple[np.ndarray, int]:
    """int32 (256,) by distance from the largest level, and how many distances count. Source: TFLite's reference."""
    scaled = float(np.float64(region.operand(0).scale[0])) * (1 << (31 - _DIFFERENCE_BITS))
    significand, shift = quantize_multiplier(min(scaled, (1 << 31) - 1.0))
    span = ((1 << _DIFFERENCE_BITS) - 1) * (1 << (31 - _DIFFERENCE_BITS)) / (1 << shift)
    near = min(math.floor(span), 255) + 1
    differences = np.where(np.arange(256) < near, -np.arange(256), 0)
    scaled_down = high_multiply(wrap(differences << shift), significand)
    return exp_on_negative(scaled_down, _DIFFERENCE_BITS).astype(np.int32), near


KERNELS = (IntegerKernel("Softmax", _lower),)
