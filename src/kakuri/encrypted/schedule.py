"""Depth-first order of a program, so that few ciphertexts live at once.

Purpose: batch-axis packing has one ciphertext per pixel; layer by layer it would hold whole feature maps in memory.
Guarantees: the same instructions, each after those it depends on; ties keep the emitted order.
Does not guarantee: the smallest possible memory (that is NP-hard); it is demand-driven from the outputs.
"""

from __future__ import annotations

from dataclasses import replace

from kakuri.encrypted.program import Program, reads, writes


def depth_first(program: Program, *, drop_unneeded: bool = True) -> Program:
    """Reorders ``program`` by demand from its outputs.

    Instructions that no output needs (a strided convolution may skip the last row of its input) are dropped, or, with
    ``drop_unneeded=False``, put at the end: the document computes them.
    """
    producer = {register: i for i, instruction in enumerate(program.instructions) for register in writes(instruction)}
    order: list[int] = []
    done = [False] * len(program.instructions)
    for output in program.outputs:
        stack = [producer[output]] if output in producer else []
        while stack:
            current = stack[-1]
            if done[current]:
                stack.pop()
                continue
            waiting = [
                producer[r] for r in reads(program.instructions[current]) if r in producer and not done[producer[r]]
            ]
            if waiting:
                stack.extend(reversed(dict.fromkeys(waiting)))
            else:
                done[current] = True
                order.append(current)
                stack.pop()
    if not drop_unneeded:
        order.extend(i for i, placed in enumerate(done) if not placed)
    return replace(
        program,
        instructions=tuple(program.instructions[i] for i in order),
        layer_of=tuple(program.layer_of[i] for i in order),
    )


def peak_registers(program: Program) -> int:
    """Most registers alive at once while ``program`` runs; inputs count from their first use."""
    alive: set[int] = set()
    peak = 0
    for instruction, dead in zip(program.instructions, program.last_use(), strict=True):
        alive.update(reads(instruction), writes(instruction))
        peak = max(peak, len(alive))
        alive.difference_update(dead)
    return peak
