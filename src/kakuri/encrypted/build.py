"""The program builder: emits instructions and follows level, scale and error of every register.

Purpose: the one place where levels and scales are decided, so that packings only speak of values.
Guarantees: operands of an addition agree in level and scale; a program that was built executes without refusals.
Does not guarantee: the error estimate (see ``noise``).

Packings call it twice: on a probe chain, which tells the depth and what every level is used for, then on the real one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from kakuri.encrypted import program as p
from kakuri.encrypted.noise import NoiseModel
from kakuri.encrypted.program import Float64, PlainSpec, Program, Register


class ChainLike(Protocol):
    """What the builder needs of a chain."""

    @property
    def scale(self) -> float: ...
    @property
    def slots(self) -> int: ...
    @property
    def top_level(self) -> int: ...
    def modulus(self, level: int) -> float: ...


@dataclass(frozen=True)
class ProbeChain:
    """Endless levels of one size: for finding out depth and uses."""

    slots: int
    scale: float = 2.0**38
    top_level: int = 200

    def modulus(self, level: int) -> float:
        return 2.0**38


@dataclass(frozen=True)
class Diagonals:
    """A linear layer's diagonals and the rotation steps they need, whatever level they are encoded at.

    Per output ciphertext: gains, root mean square over slots of the norm of a slot's weights; counts of diagonals;
    turned, the part of them that needs a baby step; giants, key switches of the result (1 for the last division).
    """

    entries: tuple[p.Diagonal, ...]
    steps: frozenset[int]
    gains: tuple[float, ...]
    counts: tuple[int, ...]
    turned: tuple[float, ...]
    giants: tuple[int, ...]

    @classmethod
    def of(cls, entries: Sequence[p.Diagonal], outputs: int, *, everywhere: bool = False) -> Diagonals:
        """everywhere: the results will be summed over all slots, so gains are means over all of them."""
        gains, counts, turned, giants = [], [], [], []
        for o in range(outputs):
            mine = [entry for entry in entries if entry.output == o]
            squares = sum((np.roll(np.square(entry.values), -entry.giant) for entry in mine), np.zeros(1))
            used = squares if everywhere else squares[squares > 0.0]
            gains.append(math.sqrt(float(used.mean())) if len(used) else 0.0)
            counts.append(len(mine))
            turned.append(sum(1 for entry in mine if entry.baby) / max(1, len(mine)))
            giants.append(1 + len({entry.giant for entry in mine if entry.giant}))
        steps = frozenset(step for entry in entries for step in (entry.baby, entry.giant))
        return cls(tuple(entries), steps, tuple(gains), tuple(counts), tuple(turned), tuple(giants))


@dataclass
class Builder:
    chain: ChainLike
    noise: NoiseModel
    mask_fraction: float = 0.55  # of the bits of a masked level that go to the mask
    layers: list[str] = field(default_factory=lambda: ["input"])
    instructions: list[p.Instruction] = field(default_factory=list)
    layer_of: list[int] = field(default_factory=list)
    plains: list[PlainSpec] = field(default_factory=list)
    registers: list[Register] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    uses: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    rotations: dict[int, int] = field(default_factory=dict)
    relinearization_level: int | None = None
    transforms: list[p.TransformSpec] = field(default_factory=list)
    constants: bool = True  # False: only levels, scales and errors are wanted, not a program
    _divided: dict[int, int] = field(default_factory=dict)  # register -> primes its key switch divides by
    _plain_index: dict[tuple[bytes, float, int], int] = field(default_factory=dict)

    # -- bookkeeping -------------------------------------------------------------------------------------------------

    def begin_layer(self, name: str) -> None:
        self.layers.append(name)

    def level(self, register: int) -> int:
        return self.registers[register].level

    def _new(self, level: int, scale: float, error: float, size: int = 2) -> int:
        self.registers.append(Register(level, scale, error, size))
        return len(self.registers) - 1

    def _emit(self, instruction: p.Instruction) -> None:
        self.instructions.append(instruction)
        self.layer_of.append(len(self.layers) - 1)

    def _like(self, register: int, **changes: float) -> int:
        old = self.registers[register]
        return self._new(
            int(changes.get("level", old.level)),
            changes.get("scale", old.scale),
            changes.get("error", old.error),
            int(changes.get("size", old.size)),
        )

    def _plain(self, values: Float64, scale: float, level: int) -> int:
        if not self.constants:
            return 0
        key = (values.tobytes(), scale, level)
        if key not in self._plain_index:
            self._plain_index[key] = len(self.plains)
            self.plains.append(PlainSpec(values, scale, level))
        return self._plain_index[key]

    def input(self) -> int:
        register = self._new(self.chain.top_level, self.chain.scale, self.noise.fresh / self.chain.scale)
        self.inputs.append(register)
        return register

    # -- rotations ---------------------------------------------------------------------------------------------------

    def _need_rotation(self, step: int, level: int) -> int:
        step %= self.chain.slots
        if step:
            self.rotations[step] = max(self.rotations.get(step, 0), level)
        return step

    def rotate_hoisted(self, source: int, steps: Sequence[int]) -> list[int]:
        old = self.registers[source]
        normal = tuple(self._need_rotation(step, old.level) for step in steps)
        switched = math.hypot(old.error, self.noise.key_switch / old.scale)
        targets = tuple(self._like(source, error=switched if step else old.error) for step in normal)
        self._emit(p.RotateHoisted(source, normal, targets))
        return list(targets)

    def rotate_sum(self, source: int, steps: Sequence[int], *, pairs: bool = False) -> int:
        """pairs: also asks for keys of the sums of neighbouring steps, with which the kernel takes two at once."""
        old = self.registers[source]
        normal = tuple(self._need_rotation(step, old.level) for step in steps)
        if pairs:
            for first, second in zip(normal[::2], normal[1::2], strict=False):
                self._need_rotation(first + second, old.level)
        error = old.error
        for _ in normal:
            error = math.sqrt(2.0 * error**2 + (self.noise.key_switch / old.scale) ** 2)
        target = self._like(source, error=error)
        self._emit(p.RotateSum(source, normal, target))
        return target

    # -- additions ---------------------------------------------------------------------------------------------------

    def add_many(self, sources: Sequence[int]) -> int:
        if len(sources) == 1:
            return sources[0]
        error = math.sqrt(math.fsum(self.registers[s].error ** 2 for s in sources))
        target = self._like(sources[0], error=error)
        self._emit(p.AddMany(tuple(sources), target))
        return target

    def subtract(self, left: int, right: int) -> int:
        target = self._like(left, error=math.hypot(self.registers[left].error, self.registers[right].error))
        self._emit(p.Subtract(left, right, target))
        return target

    def negate(self, source: int) -> int:
        target = self._like(source)
        self._emit(p.Negate(source, target))
        return target

    def add_scalar(self, source: int, value: float) -> int:
        target = self._like(source)
        self._emit(p.AddScalar(source, value, target))
        return target

    def add_plain(self, source: int, values: Float64) -> int:
        old = self.registers[source]
        error = math.hypot(old.error, self.noise.encoding / old.scale)
        target = self._like(source, error=error)
        self._emit(p.AddPlain(source, self._plain(values, old.scale, old.level), target))
        return target

    # -- multiplications and levels ----------------------------------------------------------------------------------

    def drop_to(self, source: int, level: int) -> int:
        if self.level(source) == level:
            return source
        target = self._like(source, level=level)
        self._emit(p.DropToLevel(source, level, target))
        return target

    def rescale(self, source: int, kind: str) -> int:
        old = self.registers[source]
        self.uses[old.level].add(kind)
        scale = old.scale / self.chain.modulus(old.level)
        primes = self._divided.get(source, 0) + 1
        error = math.hypot(old.error, self.noise.divided(primes) / scale)
        target = self._like(source, level=old.level - 1, scale=scale, error=error)
        if primes > 1:
            self._divided[target] = primes
        self._emit(p.Rescale(source, target))
        return target

    def linear(self, sources: Sequence[int], weights: Float64, magnitude: float, mask: Float64 | None) -> list[int]:
        """weights: (outputs, inputs). Not yet rescaled; after ``rescale`` the scale is the chain's message scale."""
        old = self.registers[sources[0]]
        product = self.chain.modulus(old.level) * self.chain.scale / old.scale
        mask_scale = 1.0 if mask is None else math.exp2(round(math.log2(product) * self.mask_fraction))
        # The kernel takes integer weights below 2^49: a scale that is too large for this level is cut, not refused.
        weight_scale = min(product / mask_scale, 2.0**48 / max(float(np.abs(weights).max()), 2.0**-20))
        product = weight_scale * mask_scale
        gain = np.sqrt(np.square(weights).sum(axis=1))
        rounded = magnitude * math.sqrt(weights.shape[1] / 12.0) / weight_scale
        masked = 0.0 if mask is None else self.noise.encoding / mask_scale
        targets = []
        for o in range(len(weights)):
            error = math.hypot(float(gain[o]) * old.error, rounded, float(gain[o]) * magnitude * masked)
            targets.append(self._new(old.level, old.scale * product, error))
        index = None if mask is None else self._plain(mask, mask_scale, old.level)
        self._emit(p.LinearCombination(tuple(sources), weights, weight_scale, index, tuple(targets)))
        return targets

    def multiply_plain(self, source: int, values: Float64, magnitude: float, *, summed: bool = False) -> int:
        """Not yet rescaled; after ``rescale`` the scale is the chain's message scale.

        summed: a sum over all slots follows, so the error that counts is the root mean square over slots.
        """
        old = self.registers[source]
        factor = self.chain.modulus(old.level) * self.chain.scale / old.scale
        square = np.square(values)
        gain = math.sqrt(float(square.sum()) / self.chain.slots if summed else float(square.max(initial=0.0)))
        error = math.hypot(old.error * gain, magnitude * self.noise.encoding / factor)
        target = self._like(source, scale=old.scale * factor, error=error)
        self._emit(p.MultiplyPlain(source, self._plain(values, factor, old.level), target))
        return target

    def multiply_scalar(self, source: int, value: float, magnitude: float, to_scale: float | None = None) -> int:
        """Product at ``to_scale`` (default: such that ``rescale`` gives the chain's message scale)."""
        old = self.registers[source]
        goal = self.chain.modulus(old.level) * self.chain.scale if to_scale is None else to_scale
        factor = goal / old.scale
        error = math.hypot(old.error * abs(value), magnitude * 0.3 / factor)
        target = self._like(source, scale=goal, error=error)
        self._emit(p.MultiplyScalar(source, value, factor, target))
        return target

    def linear_transform(
        self, sources: Sequence[int], diagonals: Diagonals, scale: float, magnitude: float
    ) -> list[int]:
        """Diagonals at ``scale``; one register per output, not rescaled. Every diagonal's rounding reaches every
        slot. Baby steps are divided by P only at the end, at the scale of the result."""
        old = self.registers[sources[0]]
        for step in diagonals.steps:
            self._need_rotation(step, old.level)
        outputs = len(diagonals.gains)
        self.transforms.append(p.TransformSpec(len(sources), outputs, diagonals.entries, scale, old.level))
        targets = []
        for gain, count, turned, giants in zip(
            diagonals.gains, diagonals.counts, diagonals.turned, diagonals.giants, strict=True
        ):
            switched = self.noise.switched / old.scale * gain * math.sqrt(turned)
            divided = self.noise.key_switch / (old.scale * scale) * math.sqrt(giants)
            rounded = magnitude * self.noise.encoding * math.sqrt(count) / scale
            error = math.hypot(gain * old.error, switched, divided, rounded)
            targets.append(self._new(old.level, old.scale * scale, error))
            self._divided[targets[-1]] = self.noise.special
        self._emit(p.LinearTransform(tuple(sources), len(self.transforms) - 1, tuple(targets)))
        return targets

    def multiply_mask(self, source: int, mask: Float64, factor: float, magnitude: float) -> int:
        """Zeroes and ones at scale ``factor``; not rescaled."""
        old = self.registers[source]
        error = math.hypot(old.error, magnitude * self.noise.encoding / factor)
        target = self._like(source, scale=old.scale * factor, error=error)
        self._emit(p.MultiplyPlain(source, self._plain(mask, factor, old.level), target))
        return target

    def weighted_sum(
        self, sources: Sequence[int], weights: Sequence[float], factor_bits: float, magnitude: float
    ) -> int:
        """sum weights[i] * sources[i] for operands of any level and scale; not rescaled."""
        level = min(self.level(s) for s in sources)
        largest = max(self.registers[s].scale for s in sources) * math.exp2(factor_bits)
        terms = []
        for source, weight in zip(sources, weights, strict=True):
            dropped = self.drop_to(source, level)
            terms.append(self.multiply_scalar(dropped, weight, magnitude, largest))
        return self.add_many(terms)

    def add_scaled(self, sources: Sequence[int], weights: Sequence[float], magnitude: float) -> int:
        """sum weights[i] * sources[i] at the scale of the largest operand on the lowest level, where that is exact
        enough: a smaller scale is raised by an integer factor; equal ones are added as they are."""
        level = min(self.level(s) for s in sources)
        dropped = [self.drop_to(s, level) for s in sources]
        scale = max(self.registers[s].scale for s in dropped)
        untouched = [w == 1.0 and _same(self.registers[s].scale, scale) for s, w in zip(dropped, weights, strict=True)]
        ratios = [scale / self.registers[s].scale for s in dropped]
        if not all(same or ratio >= _FINE for same, ratio in zip(untouched, ratios, strict=True)):
            scale *= _FINE
            untouched = [False] * len(dropped)
        terms = [
            s if same else self.multiply_scalar(s, w, magnitude, scale)
            for s, w, same in zip(dropped, weights, untouched, strict=True)
        ]
        return self.add_many(terms)

    def square(self, source: int, magnitude: float) -> int:
        old = self.registers[source]
        error = 2.0 * magnitude * old.error + old.error**2
        squared = self._like(source, scale=old.scale**2, error=error, size=3)
        self._emit(p.Square(source, squared))
        return self._relinearize(squared)

    def multiply(self, left: int, right: int, left_magnitude: float, right_magnitude: float) -> int:
        lowest = min(self.level(left), self.level(right))
        a, b = self.drop_to(left, lowest), self.drop_to(right, lowest)
        ra, rb = self.registers[a], self.registers[b]
        error = math.hypot(left_magnitude * rb.error, right_magnitude * ra.error)
        product = self._new(lowest, ra.scale * rb.scale, error, size=3)
        self._emit(p.Multiply(a, b, product))
        return self._relinearize(product)

    def _relinearize(self, source: int) -> int:
        old = self.registers[source]
        self.relinearization_level = max(self.relinearization_level or 0, old.level)
        target = self._like(source, error=math.hypot(old.error, self.noise.key_switch / old.scale), size=2)
        self._divided[target] = self.noise.special
        self._emit(p.Relinearize(source, target))
        return target

    def align(self, sources: Sequence[int], magnitude: float) -> list[int]:
        """The same values at one level and one scale; a shallower branch pays with the levels it has left over."""
        lowest = min(self.level(s) for s in sources)
        scale = next(self.registers[s].scale for s in sources if self.level(s) == lowest)
        if any(not _same(self.registers[s].scale, scale) and self.level(s) == lowest for s in sources):
            # Nobody has a level to spare: everybody pays one.
            return [
                self.rescale(self.multiply_scalar(s, 1.0, magnitude), "square") for s in self._dropped(sources, lowest)
            ]
        aligned = []
        for source in sources:
            current = source
            if not _same(self.registers[current].scale, scale):
                above = self.drop_to(current, lowest + 1)
                goal = scale * self.chain.modulus(lowest + 1)
                current = self.rescale(self.multiply_scalar(above, 1.0, magnitude, goal), "square")
            aligned.append(self.drop_to(current, lowest))
        return aligned

    def _dropped(self, sources: Sequence[int], level: int) -> list[int]:
        return [self.drop_to(source, level) for source in sources]

    def finish(self, outputs: Sequence[int]) -> Program:
        return Program(
            layers=tuple(self.layers),
            instructions=tuple(self.instructions),
            layer_of=tuple(self.layer_of),
            plains=tuple(self.plains),
            inputs=tuple(self.inputs),
            outputs=tuple(outputs),
            registers=tuple(self.registers),
            rotations=dict(sorted(self.rotations.items())),
            relinearization_level=self.relinearization_level,
            transforms=tuple(self.transforms),
        )


_FINE = 2.0**14  # an integer factor this large represents a real number well enough


def _same(a: float, b: float) -> bool:
    return abs(a / b - 1.0) < 2.0**-22
