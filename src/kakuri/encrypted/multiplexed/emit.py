"""From an assignment of layouts to instructions.

Purpose: one function per kind of step; levels and scales come from ``scales.settle``.
Guarantees: a value is (registers, gain): the tensor is gain times what the slots hold, so signs and leading
coefficients of activations cost nothing; slots that hold no element are never read.
Does not guarantee: what stands in slots that hold no element; it is bounded by sums of elements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kakuri.encrypted import program as p
from kakuri.encrypted.build import Builder, Diagonals
from kakuri.encrypted.multiplexed.cover import values
from kakuri.encrypted.multiplexed.layout import Layout
from kakuri.encrypted.multiplexed.polynomial import evaluate
from kakuri.encrypted.multiplexed.scales import Policy, settle
from kakuri.encrypted.multiplexed.steps import (
    Activation,
    Addition,
    Assignment,
    Fold,
    Gather,
    PoolFold,
    Step,
    Transform,
)

Float64 = NDArray[np.float64]
DEFAULT_MAGNITUDE = 8.0


def typical_of(typical: Mapping[str, float], value: str) -> float:
    return max(typical.get(value, DEFAULT_MAGNITUDE), 1e-6)


@dataclass(frozen=True)
class Value:
    """The tensor is ``gain`` times what the slots of ``registers`` hold. magnitude: root mean square of the slots that
    hold something, which are ``fill`` of all."""

    registers: tuple[int, ...]
    gain: float
    magnitude: float
    fill: float = 1.0


@dataclass(frozen=True)
class Prepared:
    """What a transform needs whatever its scale and level. bias: (ciphertexts, slots)."""

    diagonals: Diagonals
    bias: Float64


@dataclass
class Emitter:
    """typical: value name -> root mean square from calibration. prepared: by value; kept between runs."""

    builder: Builder
    policy: Policy
    typical: Mapping[str, float]
    prepared: dict[str, Prepared] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    output: str = ""

    def run(self, assignment: Assignment) -> Value:
        self.output = assignment.output
        for step in assignment.steps:
            self.builder.begin_layer(_layer_name(step))
            self.values[step.value] = self._step(step)
        answer = self.values[assignment.output]
        if answer.gain == 1.0:
            return answer
        factor = math.exp2(self.policy.weight_bits)
        registers = [
            self.builder.multiply_scalar(r, answer.gain, answer.magnitude, self.builder.registers[r].scale * factor)
            for r in answer.registers
        ]
        return Value(tuple(registers), 1.0, answer.magnitude * abs(answer.gain))

    def _step(self, step: Step) -> Value:
        match step:
            case Gather():
                layout = step.placed.layout
                registers = tuple(self.builder.input() for _ in range(layout.ciphertexts))
                return Value(registers, 1.0, self._typical(step.value), _filled(layout))
            case Transform():
                return self._transform(step)
            case PoolFold():
                return self._pool(step)
            case Activation():
                return self._activation(step)
            case Addition():
                return self._sum(step)

    def _typical(self, value: str) -> float:
        return typical_of(self.typical, value)

    # -- linear layers -----------------------------------------------------------------------------------------------

    def _transform(self, step: Transform) -> Value:
        source = self.values[step.source]
        if step.value not in self.prepared:
            bias = spread_channels(step.placed.layout, step.linear.bias)
            self.prepared[step.value] = Prepared(_diagonals(step, source.gain), bias)
        prepared = self.prepared[step.value]
        registers = self.builder.linear_transform(
            self._level_off(source.registers),
            prepared.diagonals,
            math.exp2(self.policy.answer_bits if step.value == self.output else self.policy.weight_bits),
            source.magnitude * math.sqrt(source.fill),
        )
        registers = [self._folded(settle(self.builder, r, self.policy), (step.fold,)) for r in registers]
        biased = [
            self.builder.add_plain(r, row) if row.any() else r for r, row in zip(registers, prepared.bias, strict=True)
        ]
        target = step.cover.problem.target
        spreads = 1 if len(step.fold.offsets) == 1 else 2
        fill = spreads * len(step.fold.offsets) * _filled(target)
        return Value(tuple(biased), 1.0, self._typical(step.value), min(1.0, fill))

    def _level_off(self, registers: tuple[int, ...]) -> list[int]:
        lowest = min(self.builder.level(r) for r in registers)
        return [self.builder.drop_to(r, lowest) for r in registers]

    def _folded(self, register: int, folds: tuple[Fold, ...]) -> int:
        chain: list[int] = []
        for fold in folds:
            if fold.chain is not None:
                chain.extend(fold.chain)
            elif len(fold.offsets) > 1:
                register = self._chained(register, chain)
                chain = []
                register = self.builder.add_many(self.builder.rotate_hoisted(register, fold.offsets))
        return self._chained(register, chain)

    def _chained(self, register: int, steps: list[int]) -> int:
        return self.builder.rotate_sum(register, steps, pairs=True) if steps else register

    def _pool(self, step: PoolFold) -> Value:
        source = self.values[step.source]
        registers = [self._folded(r, step.folds) for r in source.registers]
        if step.spread:
            registers = [
                self._folded(self._masked(r, used), step.spread)
                for r, used in zip(registers, step.kept.used_slots, strict=True)
            ]
        gain = source.gain / step.divisor
        return Value(tuple(registers), gain, self._typical(step.value) / abs(gain))

    def _masked(self, register: int, used: NDArray[np.int64]) -> int:
        mask = np.zeros(self.builder.chain.slots)
        mask[used] = 1.0
        scaled = self.builder.multiply_mask(register, mask, math.exp2(self.policy.mask_bits), 1.0)
        return settle(self.builder, scaled, self.policy)

    # -- activations and sums ----------------------------------------------------------------------------------------

    def _activation(self, step: Activation) -> Value:
        source = self.values[step.source]
        coefficients = [c * source.gain**k for k, c in enumerate(step.layer.coefficients)]
        results = [evaluate(self.builder, self.policy, r, coefficients, source.magnitude) for r in source.registers]
        gain = results[0][1]
        magnitude = self._typical(step.value) / abs(gain)
        return Value(tuple(r for r, _ in results), gain, magnitude, source.fill)

    def _sum(self, step: Addition) -> Value:
        terms = [self.values[name] for name in step.sources]
        gain = terms[0].gain
        columns = []
        for column in zip(*(t.registers for t in terms), strict=True):
            ratios = [t.gain / gain for t in terms]
            columns.append(self.builder.add_scaled(list(column), ratios, terms[0].magnitude))
        registers = tuple(settle(self.builder, r, self.policy) for r in columns)
        return Value(registers, gain, self._typical(step.value) / abs(gain))


def _filled(layout: Layout) -> float:
    places = len(layout.channel) * len(layout.entry_slot)
    return places / (layout.ciphertexts * layout.slots)


def _diagonals(step: Transform, gain: float) -> Diagonals:
    """gain: of the input, which goes into the weights."""
    outputs, inputs, _ = step.cover.split_keys()
    entries = [
        p.Diagonal(int(o), int(g), int(i), int(b), np.roll(row, g))
        for o, i, g, b, row in zip(
            outputs, inputs, step.split.giant, step.split.baby, gain * values(step.cover), strict=True
        )
    ]
    offsets = step.fold.offsets
    around = len(offsets) > 1 and len(offsets) * offsets[1] == step.cover.problem.target.slots
    return Diagonals.of(entries, step.cover.problem.target.ciphertexts, everywhere=around)


def spread_channels(layout: Layout, per_channel: Float64) -> Float64:
    """(ciphertexts, slots): each channel's number at every place of the channel."""
    rows = np.zeros((layout.ciphertexts, layout.slots))
    ct, slot, element = layout.table()
    rows[ct, slot] = per_channel[element // layout.positions]
    return rows


def _layer_name(step: Step) -> str:
    match step:
        case Activation() | Addition():
            return step.layer.name
        case Gather():
            return "input"
        case _:
            return step.layer
