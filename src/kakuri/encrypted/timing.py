"""Seconds of a compiled program, from counts of work and what a unit of work costs on this machine.

Purpose: what ``plan`` predicts, and what ranks chains. Four kinds of work, each on one polynomial of n coefficients
modulo one prime: number-theoretic transforms, multiply-adds in cache, multiply-adds against a switching key (which
comes from memory), and checking and unpacking a query.
Guarantees: counts follow the kernel's algorithms (hybrid key switching, double hoisting, fused rescales).
Does not guarantee: what a busy machine does, nor one that changes its speed after ``calibration`` measured it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kakuri.encrypted import program as p
from kakuri.encrypted.chain import Chain
from kakuri.encrypted.cost import digits_at
from kakuri.encrypted.program import Program

PASS = 4.0  # multiply-adds in cache that a pass over a polynomial in memory takes


@dataclass(frozen=True)
class Machine:
    """Nanoseconds: butterfly; multiply_add and key_add, per coefficient; load, per coefficient of a query."""

    butterfly: float = 0.35
    multiply_add: float = 0.3
    key_add: float = 0.5
    load: float = 4.0

    def seconds(self, work: Work, log_n: int) -> float:
        n = 1 << log_n
        parts = (
            work.transforms * log_n / 2 * self.butterfly,
            work.products * self.multiply_add,
            work.keys * self.key_add,
            work.loads * self.load,
        )
        return n * math.fsum(parts) * 1e-9


NOMINAL = Machine()


@dataclass
class Work:
    """Polynomials modulo one prime: transformed, multiplied and added, multiplied with a key, unpacked."""

    transforms: float = 0.0
    products: float = 0.0
    keys: float = 0.0
    loads: float = 0.0


def seconds(chain: Chain, program: Program, machine: Machine = NOMINAL) -> float:
    """Estimated seconds on one core, from query bytes to answer bytes."""
    return machine.seconds(work_of(chain, program), chain.log_n)


def work_of(chain: Chain, program: Program) -> Work:
    """Counts of every instruction."""
    work = Work(loads=len(program.inputs) * (chain.top_level + 1))
    for instruction in program.instructions:
        level = min(program.registers[r].level for r in p.reads(instruction))
        _add(
            work,
            instruction,
            _Limbs(level + 1, len(chain.special_moduli), digits_at(chain, level)),
            program,
            chain.slots,
        )
    return work


@dataclass(frozen=True)
class _Limbs:
    """Of a ciphertext and of the special primes; digits at that level."""

    limbs: int
    special: int
    digits: int

    @property
    def mod_up(self) -> int:
        return self.digits * (self.limbs + self.special)

    @property
    def mod_down(self) -> int:
        return 2 * (self.special + self.limbs)

    @property
    def key(self) -> int:
        return 2 * self.digits * (self.limbs + self.special)


def sum_stages(steps: tuple[int, ...], held: Mapping[int, int], slots: int, level: int) -> tuple[int, int]:
    """Of a chain of rotations: how often the kernel extends the sum, and products with keys. Two neighbouring steps
    are one stage of three products where the key of their sum is held."""
    stages = products = i = 0
    while i < len(steps):
        both = sum(steps[i : i + 2]) % slots
        merged = i + 1 < len(steps) and all(steps[i : i + 2]) and held.get(both, -1) >= level
        stages, products, i = stages + 1, products + (3 if merged else 1), i + (2 if merged else 1)
    return stages, products


def _add(work: Work, instruction: p.Instruction, at: _Limbs, program: Program, slots: int) -> None:
    match instruction:
        case p.RotateHoisted(_, steps, _):
            real = sum(1 for step in steps if step)
            work.transforms += at.mod_up * (real > 0) + at.mod_down * real
            work.keys += at.key * real
        case p.RotateSum(_, steps, _):
            stages, rotations = sum_stages(steps, program.rotations, slots, at.limbs - 1)
            work.transforms += at.mod_up * stages + at.mod_down * (stages + 1) / 2
            work.keys += at.key * rotations
        case p.Relinearize(_, _, rescale):
            work.transforms += at.mod_up + at.mod_down + 2 * rescale
            work.keys += at.key
        case p.LinearTransform(_, index, targets, rescale):
            entries = program.transforms[index].entries
            babies = {(d.input, d.baby) for d in entries if d.baby}
            giants = {(d.output, d.giant) for d in entries if d.giant}
            turned = len({i for i, _ in babies})
            work.transforms += turned * at.mod_up + len(giants) * (at.mod_up + at.mod_down / 2)
            work.transforms += len(targets) * (at.mod_down + 2 * rescale)
            work.keys += at.key * (len(babies) + len(giants))
            work.products += 2.0 * (at.limbs + at.special) * len(entries)
        case p.Rescale():
            work.transforms += 2 * at.limbs
        case p.DropToLevel():
            pass
        case p.LinearCombination(_, weights, _, _, _):
            work.products += 2.0 * at.limbs * np.count_nonzero(weights)
        case _:
            work.products += 2.0 * at.limbs * PASS
