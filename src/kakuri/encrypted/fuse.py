"""Rescales that are done in the same step as the key switch before them.

Purpose: relinearisations and linear transforms end with a division by the special primes; a rescale that follows can
share its transforms. Requires: a program in single-assignment form. Ensures: the same values; a rescale whose operand
nobody else reads is part of the instruction that made the operand, at most ``MOST`` of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from kakuri.encrypted import program as p
from kakuri.encrypted.program import Program, reads, writes

MOST = 2


def fuse_rescales(program: Program) -> Program:
    """See the module head. Registers that vanish stay in ``registers``, unused."""
    uses = Counter(r for instruction in program.instructions for r in reads(instruction))
    uses.update(program.outputs)
    rescale_of = {x.source: x for x in program.instructions if isinstance(x, p.Rescale) and uses[x.source] == 1}
    gone: set[int] = set()
    instructions: list[p.Instruction] = []
    layers: list[int] = []
    for instruction, layer in zip(program.instructions, program.layer_of, strict=True):
        if isinstance(instruction, p.Rescale) and instruction.source in gone:
            continue
        kept = instruction
        while isinstance(kept, p.LinearTransform | p.Relinearize) and kept.rescale < MOST:
            following = [rescale_of.get(r) for r in writes(kept)]
            if any(x is None for x in following):
                break
            gone.update(writes(kept))
            results = tuple(x.target for x in following if x is not None)
            if isinstance(kept, p.LinearTransform):
                kept = replace(kept, targets=results, rescale=kept.rescale + 1)
            else:
                kept = replace(kept, target=results[0], rescale=kept.rescale + 1)
        instructions.append(kept)
        layers.append(layer)
    return replace(program, instructions=tuple(instructions), layer_of=tuple(layers))
