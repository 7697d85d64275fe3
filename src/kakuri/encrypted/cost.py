"""Sizes and rough time of a compiled program, from counts alone.

Purpose: what ``plan`` prints before any key exists.
Guarantees: sizes are computed from the same parameters that the kernel will use.
Does not guarantee: time within a factor of about two; constants are nanoseconds per butterfly and per
multiply-accumulate of the kernel path that this machine would take, seen once on one machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kakuri import _ckks
from kakuri.encrypted import program as p
from kakuri.encrypted.chain import Chain
from kakuri.encrypted.compile import Compiled
from kakuri.encrypted.program import Program
from kakuri.encrypted.schedule import peak_registers

_BUTTERFLY_NS = {"scalar": 1.2, "avx2": 0.5, "avx512": 0.35, "ifma": 0.15}
_MULTIPLY_ADD_NS = {"scalar": 0.8, "avx2": 0.5, "avx512": 0.3, "ifma": 0.2}


@dataclass(frozen=True)
class Sizes:
    """All in bytes. query, answer, keys: on the wire (seeded, bit-packed). memory: of the server at its peak."""

    evaluation_key_bytes: int
    query_bytes: int
    answer_bytes: int
    memory_bytes: int


def sizes(chain: Chain, compiled: Compiled) -> Sizes:
    program = compiled.program
    diagonals = sum(
        len(spec.entries) * (spec.level + 1 + len(chain.special_moduli)) * chain.slots * 8
        for spec in program.transforms
    )
    levels = [*program.rotations.values()]
    if program.relinearization_level is not None:
        levels.append(program.relinearization_level)
    keys = sum(_key_bits(chain, level) for level in levels) // 8
    limb = chain.slots * 2 * 8
    plains = sum((plain.level + 1) * limb for plain in program.plains)
    ciphertexts = peak_registers(program) * (chain.top_level + 1) * 2 * limb
    unpacked = sum(2 * _digits(chain, lv) * (lv + 1 + len(chain.special_moduli)) * limb for lv in levels)
    return Sizes(
        evaluation_key_bytes=keys,
        query_bytes=len(program.inputs) * _limb_bits(chain, chain.top_level) // 8,
        answer_bytes=len(program.outputs) * 2 * _limb_bits(chain, compiled.output_level) // 8,
        memory_bytes=unpacked + plains + diagonals + ciphertexts,
    )


def _digits(chain: Chain, level: int) -> int:
    return math.ceil((level + 1) / math.ceil(len(chain.moduli) / chain.digits))


def _limb_bits(chain: Chain, level: int) -> int:
    return 2 * chain.slots * sum(q.bit_length() for q in chain.moduli[: level + 1])


def _key_bits(chain: Chain, level: int) -> int:
    special = 2 * chain.slots * sum(q.bit_length() for q in chain.special_moduli)
    return _digits(chain, level) * (_limb_bits(chain, level) + special)


def seconds(chain: Chain, program: Program) -> float:
    """Estimated seconds on one core: transforms and multiply-accumulates of every instruction."""
    n, k = 2 * chain.slots, len(chain.special_moduli)
    transforms = products = 0.0
    for instruction in program.instructions:
        level = min(program.registers[r].level for r in p.reads(instruction))
        limbs, digits = level + 1, _digits(chain, level)
        mod_up = limbs + digits * (limbs + k) - limbs
        mod_down = 2 * (k + limbs)
        inner = 2.0 * digits * (limbs + k)
        match instruction:
            case p.RotateHoisted(_, steps, _):
                real = sum(1 for step in steps if step)
                transforms += mod_up * (real > 0) + mod_down * real
                products += inner * real
            case p.RotateSum(_, steps, _):
                transforms += (mod_up + mod_down) * len(steps)
                products += inner * len(steps)
            case p.Relinearize(_, _, rescale):
                transforms += mod_up + mod_down + 2 * rescale
                products += inner
            case p.LinearTransform(_, index, targets, rescale):
                spec = program.transforms[index]
                babies = len({(d.input, d.baby) for d in spec.entries if d.baby})
                giants = len({(d.output, d.giant) for d in spec.entries if d.giant})
                turned = len({d.input for d in spec.entries if d.baby})
                transforms += (
                    turned * mod_up + giants * (mod_up + mod_down / 2) + len(targets) * (mod_down + 2 * rescale)
                )
                products += inner * (babies + giants) + 2.0 * (limbs + k) * len(spec.entries)
            case p.Rescale():
                transforms += 2 * limbs
            case p.DropToLevel():
                pass
            case p.LinearCombination(_, weights, _, _, _):
                products += 2.0 * limbs * np.count_nonzero(weights)
            case _:
                products += 2.0 * limbs
    path = _ckks.kernel_path()
    butterflies = transforms * n / 2 * math.log2(n)
    return (butterflies * _BUTTERFLY_NS[path] + products * n * _MULTIPLY_ADD_NS[path]) * 1e-9
