"""Sizes of a compiled program, from counts alone.

Purpose: what ``plan`` prints before any key exists; ``timing`` estimates seconds.
Guarantees: sizes are computed from the same parameters that the kernel will use.
Does not guarantee: ``Memory.process`` and ``Memory.program``, which were measured once and differ between machines.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kakuri.encrypted.chain import Chain
from kakuri.encrypted.compile import Compiled
from kakuri.encrypted.program import Program
from kakuri.encrypted.schedule import peak_registers

_WORD = 8  # bytes of a residue or a real number
PROCESS_BYTES = 150 << 20  # resident with Python, NumPy, ONNX and ONNX Runtime, before a program exists


@dataclass(frozen=True)
class Memory:
    """Resident bytes, at its peak, of a process that planned, built and answers. keys: unpacked. diagonals, plains:
    encoded. ciphertexts: as many as live at once. messages: the query as it came, and cut up. program: constants as
    real numbers, twice, since compiling leaves as many freed pages behind. process: everything else."""

    keys: int
    diagonals: int
    plains: int
    ciphertexts: int
    messages: int
    program: int
    process: int = PROCESS_BYTES

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


@dataclass(frozen=True)
class Sizes:
    """Bytes on the wire (seeded, bit-packed), and in memory."""

    evaluation_key_bytes: int
    query_bytes: int
    answer_bytes: int
    memory: Memory


def machine_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def sizes(chain: Chain, compiled: Compiled) -> Sizes:
    program = compiled.program
    levels = [*program.rotations.values()]
    if program.relinearization_level is not None:
        levels.append(program.relinearization_level)
    query_bytes = len(program.inputs) * _limb_bits(chain, chain.top_level) // 8
    return Sizes(
        evaluation_key_bytes=sum(_key_bits(chain, level) for level in levels) // 8,
        query_bytes=query_bytes,
        answer_bytes=len(program.outputs) * 2 * _limb_bits(chain, compiled.output_level) // 8,
        memory=_memory(chain, program, levels, query_bytes),
    )


def _memory(chain: Chain, program: Program, key_levels: Sequence[int], query_bytes: int) -> Memory:
    limb, special = chain.n * _WORD, len(chain.special_moduli)
    slots = [len(spec.entries) * chain.slots * _WORD for spec in program.transforms]
    return Memory(
        keys=sum(2 * digits_at(chain, level) * (level + 1 + special) * limb for level in key_levels),
        diagonals=sum(n * (spec.level + 1 + special) for n, spec in zip(slots, program.transforms, strict=True)),
        plains=sum((plain.level + 1) * limb for plain in program.plains),
        ciphertexts=peak_registers(program) * (chain.top_level + 1) * 2 * limb,
        messages=2 * query_bytes,
        program=2 * (sum(slots) + sum(plain.values.nbytes for plain in program.plains)),
    )


def digits_at(chain: Chain, level: int) -> int:
    return math.ceil((level + 1) / math.ceil(len(chain.moduli) / chain.digits))


def _limb_bits(chain: Chain, level: int) -> int:
    return chain.n * sum(q.bit_length() for q in chain.moduli[: level + 1])


def _key_bits(chain: Chain, level: int) -> int:
    special = chain.n * sum(q.bit_length() for q in chain.special_moduli)
    return digits_at(chain, level) * (_limb_bits(chain, level) + special)
