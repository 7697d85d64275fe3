"""Ciphertext programs: what the compiler emits and the server executes.

Purpose: a straight-line list of instructions over single-assignment registers, each tagged with its layer.
Guarantees: every register is written once, before it is read; ``last_use`` tells when it can be freed.
Does not guarantee: levels and scales; the builder checked them when it emitted the program.

One instruction is one call of the evaluator. Adding an operation: a dataclass here, a method in ``build.Builder``
(levels, scales, error), a method in ``backends/simulated.py`` and, if the kernel lacks it, in native/ckks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class PlainSpec:
    """A plaintext to encode once at load. values: (<= slots,) float64."""

    values: Float64
    scale: float
    level: int


@dataclass(frozen=True)
class Diagonal:
    """values: (slots,) float64, what multiplies rot_baby(input) before the rotation by ``giant``."""

    output: int
    giant: int
    input: int
    baby: int
    values: Float64


@dataclass(frozen=True)
class TransformSpec:
    """Diagonals of one linear layer, encoded once at load. out_o = sum_g rot_g(sum_ib values rot_b(x_i))."""

    inputs: int
    outputs: int
    entries: tuple[Diagonal, ...]
    scale: float
    level: int


@dataclass(frozen=True)
class Instruction:
    """Register numbers are non-negative ints; ``plain`` and ``mask`` index ``Program.plains``."""


@dataclass(frozen=True)
class RotateHoisted(Instruction):
    source: int
    steps: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True)
class LinearCombination(Instruction):
    """targets[o] = mask * sum_i weights[o, i] sources[i]."""

    sources: tuple[int, ...]
    weights: Float64
    weight_scale: float
    mask: int | None
    targets: tuple[int, ...]


@dataclass(frozen=True)
class MultiplyPlain(Instruction):
    source: int
    plain: int
    target: int


@dataclass(frozen=True)
class MultiplyScalar(Instruction):
    source: int
    value: float
    scale: float
    target: int


@dataclass(frozen=True)
class Square(Instruction):
    source: int
    target: int


@dataclass(frozen=True)
class Multiply(Instruction):
    left: int
    right: int
    target: int


@dataclass(frozen=True)
class Relinearize(Instruction):
    """The result is rescaled ``rescale`` times in the same step."""

    source: int
    target: int
    rescale: int = 0


@dataclass(frozen=True)
class Rescale(Instruction):
    source: int
    target: int


@dataclass(frozen=True)
class DropToLevel(Instruction):
    source: int
    level: int
    target: int


@dataclass(frozen=True)
class Subtract(Instruction):
    left: int
    right: int
    target: int


@dataclass(frozen=True)
class Negate(Instruction):
    source: int
    target: int


@dataclass(frozen=True)
class AddMany(Instruction):
    sources: tuple[int, ...]
    target: int


@dataclass(frozen=True)
class AddPlain(Instruction):
    source: int
    plain: int
    target: int


@dataclass(frozen=True)
class AddScalar(Instruction):
    source: int
    value: float
    target: int


@dataclass(frozen=True)
class RotateSum(Instruction):
    """target = source; for s in steps: target += rotate(target, s)."""

    source: int
    steps: tuple[int, ...]
    target: int


@dataclass(frozen=True)
class LinearTransform(Instruction):
    """``transform`` indexes ``Program.transforms``. The results are rescaled ``rescale`` times in the same step."""

    sources: tuple[int, ...]
    transform: int
    targets: tuple[int, ...]
    rescale: int = 0


_READS = ("source", "left", "right")


def reads(instruction: Instruction) -> Iterator[int]:
    """Registers the instruction reads."""
    for item in fields(instruction):
        if item.name in _READS:
            yield getattr(instruction, item.name)
        elif item.name == "sources":
            yield from instruction.sources  # type: ignore[attr-defined]


def writes(instruction: Instruction) -> tuple[int, ...]:
    """Registers the instruction writes."""
    target = getattr(instruction, "target", None)
    return instruction.targets if target is None else (target,)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Register:
    """level, scale: exact. error: standard deviation expected, in message units. size: polynomials."""

    level: int
    scale: float
    error: float
    size: int = 2


@dataclass(frozen=True)
class Program:
    """instructions[i] belongs to layers[layer_of[i]]. inputs, outputs: register numbers in wire order.

    rotations: step -> highest level at which it is used. registers: what the compiler knows of each.
    """

    layers: tuple[str, ...]
    instructions: tuple[Instruction, ...]
    layer_of: tuple[int, ...]
    plains: tuple[PlainSpec, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    registers: tuple[Register, ...]
    rotations: dict[int, int] = field(default_factory=dict)
    relinearization_level: int | None = None
    transforms: tuple[TransformSpec, ...] = ()

    def last_use(self) -> list[tuple[int, ...]]:
        """For every instruction, the registers that no later instruction reads and that are no outputs."""
        keep = set(self.outputs)
        seen: set[int] = set()
        result: list[tuple[int, ...]] = []
        for instruction in reversed(self.instructions):
            touched = dict.fromkeys((*reads(instruction), *writes(instruction)))
            free = tuple(r for r in touched if r not in seen and r not in keep)
            seen.update(free)
            result.append(free)
        return result[::-1]
