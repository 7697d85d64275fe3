"""Writes the program that Kakuri compiles for a network as a text that ``replay`` reads.

Usage: write_plan.py MODEL CALIBRATION OUT. MODEL: a file that ``kakuri.load`` takes; CALIBRATION: a .npy file of
inputs, (b, c, h, w) float32. Only the shape of the work is written: ring, diagonals' places, instructions; no weight.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import kakuri as kk
from kakuri.encrypted import program as p
from kakuri.encrypted.planning import EncryptedPlan


def _list(values: Iterable[int]) -> str:
    return ",".join(str(v) for v in values) or "-"


def _arguments(instruction: p.Instruction) -> tuple[int, ...]:
    match instruction:
        case p.LinearTransform(_, transform, _, times):
            return (transform, times)
        case p.RotateSum(_, steps, _):
            return steps
        case p.Relinearize(_, _, times):
            return (times,)
        case p.DropToLevel(_, level, _):
            return (level,)
    return ()


def lines(plan: EncryptedPlan) -> Iterator[str]:
    """The lines of the text, in the order in which ``replay`` documents them."""
    chain, program = plan.recipe.chain, plan.compiled.program
    yield f"ring {chain.ring} {chain.log_n} {chain.digits} {chain.scale!r}"
    yield "moduli " + " ".join(map(str, chain.moduli))
    yield "special " + " ".join(map(str, chain.special_moduli))
    for transform in program.transforms:
        yield f"transform {transform.inputs} {transform.outputs} {transform.level} {transform.scale!r}"
        for d in transform.entries:
            yield f"diagonal {d.output} {d.giant} {d.input} {d.baby}"
    for register in program.inputs:
        yield f"input {register} {program.registers[register].level}"
    for instruction, layer in zip(program.instructions, program.layer_of, strict=True):
        name = type(instruction).__name__
        read, written = list(p.reads(instruction)), p.writes(instruction)
        layer_name = program.layers[layer].replace(" ", "_") or "-"
        yield f"step {layer_name} {name} {_list(written)} {_list(read)} {_list(_arguments(instruction))}"
    for step, level in program.rotations.items():
        yield f"rotation {step} {level}"
    if program.relinearization_level is not None:
        yield f"relinearization {program.relinearization_level}"


def main(model: Path, calibration: Path, out: Path) -> None:
    plan = kk.encrypted.plan(kk.load(model), calibration=np.load(calibration, allow_pickle=False))
    out.write_text("\n".join(lines(plan)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
