"""Sizes of a compiled program, from counts alone.

Purpose: what ``plan`` prints before any key exists; ``timing`` estimates seconds.
Guarantees: sizes are computed from the same parameters that the kernel will use.
Does not guarantee: the allocator's and Python's own memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kakuri.encrypted.chain import Chain
from kakuri.encrypted.compile import Compiled
from kakuri.encrypted.schedule import peak_registers


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
    limb = chain.n * 8
    plains = sum((plain.level + 1) * limb for plain in program.plains)
    ciphertexts = peak_registers(program) * (chain.top_level + 1) * 2 * limb
    unpacked = sum(2 * digits_at(chain, lv) * (lv + 1 + len(chain.special_moduli)) * limb for lv in levels)
    return Sizes(
        evaluation_key_bytes=keys,
        query_bytes=len(program.inputs) * _limb_bits(chain, chain.top_level) // 8,
        answer_bytes=len(program.outputs) * 2 * _limb_bits(chain, compiled.output_level) // 8,
        memory_bytes=unpacked + plains + diagonals + ciphertexts,
    )


def digits_at(chain: Chain, level: int) -> int:
    return math.ceil((level + 1) / math.ceil(len(chain.moduli) / chain.digits))


def _limb_bits(chain: Chain, level: int) -> int:
    return chain.n * sum(q.bit_length() for q in chain.moduli[: level + 1])


def _key_bits(chain: Chain, level: int) -> int:
    special = chain.n * sum(q.bit_length() for q in chain.special_moduli)
    return digits_at(chain, level) * (_limb_bits(chain, level) + special)
