"""What each protection level of generated code costs, beside level 0 of the same network.

Settings: ``models``, as in ``codegen``. Cases are the files' names and the level. One thread, the test programs of the
projects, in turns; medians over all runs. ``ratio``: level 0's processor time over the level's. ``load_cpu_seconds``:
of a process that loads (and at level 3 opens) and computes nothing.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from kakuri import codegen, model
from kakuri.bench.codegen import rows_of_networks
from kakuri.bench.codegen_program import timed_runs
from kakuri.bench.rows import Options, Row
from kakuri.codegen.examples import random_inputs
from kakuri.codegen.form import LEVELS, PERMUTED
from kakuri.trust import SystemEntropy

_PER_TURN = 5


def run(options: Options) -> list[Row]:
    """One row per network and level. Raises KK-C23 without models."""
    return rows_of_networks(options, _case)


def _case(path: Path, options: Options) -> list[Row]:
    net, key = model.load(path), SystemEntropy().draw(32)
    with tempfile.TemporaryDirectory() as folder:
        figures: list[dict[str, Any]] = []
        commands = []
        for level in LEVELS:
            options.report(f"{path.stem}: level {level}: generating, compiling")
            place = Path(folder) / str(level)
            source = codegen.plan(net, protect=level, key=key if level >= PERMUTED else None).build(place)
            program, plan = source.compile(place), source.plan
            inputs = random_inputs(plan.program, np.random.default_rng(0))
            (place / "in").write_bytes(b"".join(array.tobytes() for array in inputs))
            (place / "key").write_bytes(key)
            commands.append((str(program), str(place / "in"), str(place / "out"), str(place / "key")))
            loading = [_cpu_seconds(_command(commands[-1], 0, sealed=plan.form.sealed))[1] for _ in range(3)]
            window = plan.program.arena_bytes - plan.program.window_offset_bytes if plan.form.by_panel else 0
            figures.append(
                {
                    "load_cpu_seconds": min(loading),
                    "program_bytes": program.stat().st_size,
                    "arena_bytes": plan.program.arena_bytes,
                    "window_bytes": window,
                    "sealed": plan.form.sealed,
                    "all": [],
                }
            )
        for turn in range(max(1, options.runs)):
            options.report(f"{path.stem}: turn {turn + 1} of {options.runs}")
            for command, found in zip(commands, figures, strict=True):
                found["all"] += _cpu_seconds(_command(command, _PER_TURN, sealed=found["sealed"]))[0]
    plain = statistics.median(busy for _, busy in figures[0]["all"])
    return [_row(path.stem, level, found, plain) for level, found in zip(LEVELS, figures, strict=True)]


def _row(name: str, level: int, found: dict[str, Any], plain_seconds: float) -> Row:
    times, kept = found["all"], {key: value for key, value in found.items() if key not in {"all", "sealed"}}
    busy = statistics.median(busy for _, busy in times)
    latency = statistics.median(elapsed for elapsed, _ in times)
    measured = {"latency_seconds": latency, "cpu_seconds": busy, "ratio": plain_seconds / busy}
    return Row("kakuri", f"{name}/level {level}", measured | kept)


def _command(parts: tuple[str, ...], runs: int, *, sealed: bool) -> list[str]:
    program, inputs, outputs, key = parts
    return [program, inputs, outputs, str(runs), *([key] if sealed else [])]


def _cpu_seconds(command: list[str]) -> tuple[list[tuple[float, float]], float]:
    """(elapsed, busy) of every run, and the processor time of the whole process. Raises KK-C22."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = timed_runs(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
