"""Runs a program on a backend.

Purpose: one loop for the kernel, the simulation and the dry run; registers are freed after their last use.
Guarantees: operation counts per layer are differences of the backend's counters around each instruction.
Does not guarantee: constant memory; see ``schedule``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from kakuri.encrypted import program as p
from kakuri.encrypted.backends.backend import Backend, C, P, T
from kakuri.encrypted.program import Program


@dataclass
class LayerProfile:
    """counts: operations executed. seconds: wall-clock time inside the backend."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass(frozen=True)
class Profile:
    layers: tuple[LayerProfile, ...]

    def total(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for layer in self.layers:
            total.update(layer.counts)
        return total

    def seconds(self) -> float:
        return sum(layer.seconds for layer in self.layers)

    def to_dict(self) -> list[dict[str, Any]]:
        return [{"layer": x.name, "seconds": x.seconds, **x.counts} for x in self.layers if x.counts]


Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Constants(Generic[P, T]):
    """Plaintexts and transforms of a program, encoded for one backend."""

    plains: list[P]
    transforms: list[T]


def encode_constants(program: Program, backend: Backend[C, P, T]) -> Constants[P, T]:
    """Every constant of the program, encoded once."""
    return Constants(
        [backend.encode(plain.values, plain.scale, plain.level) for plain in program.plains],
        [backend.encode_transform(spec) for spec in program.transforms],
    )


def execute(
    program: Program,
    backend: Backend[C, P, T],
    constants: Constants[P, T],
    inputs: Sequence[C],
    progress: Progress | None = None,
) -> tuple[list[C], Profile]:
    """Outputs in wire order, and what was executed. ``inputs`` are emptied as they are used up when it is a list."""
    registers: dict[int, C] = dict(zip(program.inputs, inputs, strict=True))
    if isinstance(inputs, list):
        inputs.clear()
    layers = tuple(LayerProfile(name) for name in program.layers)
    before = backend.counters
    pairs = zip(program.instructions, program.layer_of, program.last_use(), strict=True)
    for done, (instruction, layer, dead) in enumerate(pairs):
        start = time.perf_counter()
        registers.update(zip(p.writes(instruction), _step(instruction, backend, constants, registers), strict=True))
        layers[layer].seconds += time.perf_counter() - start
        after = backend.counters
        for name, value in after.items():
            if value != before.get(name, 0):
                layers[layer].counts[name] += value - before.get(name, 0)
        before = after
        for register in dead:
            del registers[register]
        if progress is not None:
            progress(done + 1, len(program.instructions))
    return [registers[r] for r in program.outputs], Profile(layers)


def _step(  # noqa: PLR0911, PLR0912
    instruction: p.Instruction, on: Backend[C, P, T], constants: Constants[P, T], r: dict[int, C]
) -> list[C]:
    """One instruction; its results in the order of ``program.writes``."""
    plains = constants.plains
    match instruction:
        case p.LinearCombination(sources, weights, scale, mask, _):
            plain = None if mask is None else plains[mask]
            return on.linear_combination([r[s] for s in sources], weights, scale, plain)
        case p.LinearTransform(sources, transform, _, times):
            return on.linear_transform([r[s] for s in sources], constants.transforms[transform], times)
        case p.RotateHoisted(source, steps, _):
            return on.rotate_hoisted(r[source], steps)
        case p.RotateSum(source, steps, _):
            return [on.rotate_sum(r[source], steps)]
        case p.MultiplyPlain(source, plain_index, _):
            return [on.multiply_plain(r[source], plains[plain_index])]
        case p.MultiplyScalar(source, value, scale, _):
            return [on.multiply_scalar(r[source], value, scale)]
        case p.Square(source, _):
            return [on.square(r[source])]
        case p.Multiply(left, right, _):
            return [on.multiply(r[left], r[right])]
        case p.Relinearize(source, _, times):
            return [on.relinearize(r[source], times)]
        case p.Rescale(source, _):
            return [on.rescale(r[source])]
        case p.DropToLevel(source, level, _):
            return [on.drop_to_level(r[source], level)]
        case p.Subtract(left, right, _):
            return [on.sub(r[left], r[right])]
        case p.Negate(source, _):
            return [on.negate(r[source])]
        case p.AddMany(sources, _):
            return [on.add_many([r[s] for s in sources])]
        case p.AddPlain(source, plain_index, _):
            return [on.add_plain(r[source], plains[plain_index])]
        case p.AddScalar(source, value, _):
            return [on.add_scalar(r[source], value)]
        case _:
            raise TypeError(f"unknown instruction {type(instruction).__name__}")
