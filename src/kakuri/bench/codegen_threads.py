"""Generated code whose steps threads share, beside one thread of the same network.

Settings: ``models``, as in ``codegen``; ``threads`` 2 at least. Cases are the files' names. Test programs, in turns,
with the pool of POSIX threads that projects bring; the first runs of a process, before every thread has a processor of
its own, are not counted. ``ratio``: one thread's elapsed time over theirs, medians; it says something only when the
processors are free, so ``busy_ratio``, all threads' processor time over one thread's, stands beside it (above 1 by what
sharing costs, waiting included). The outputs of both must be the same bits.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np

from kakuri import codegen, model
from kakuri.bench.codegen import rows_of_networks
from kakuri.bench.codegen_program import timed_runs
from kakuri.bench.rows import Options, Row
from kakuri.codegen.examples import random_inputs
from kakuri.errors import KakuriError

_WARM_UP, _PER_TURN = 10, 40


def run(options: Options) -> list[Row]:
    """Two rows per network. Raises KK-C23 without models and KK-C24 for fewer than two threads."""
    if options.threads == 1:
        raise KakuriError("KK-C24", "nothing to share", got=f"{options.threads} threads", hint="--threads 2")
    return rows_of_networks(options, _case)


def _case(path: Path, options: Options) -> list[Row]:
    net, numbers = model.load(path), (1, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        commands, arenas = [], []
        times: dict[int, list[tuple[float, float]]] = {count: [] for count in numbers}
        for count in numbers:
            options.report(f"{path.stem}: {count} threads: generating, compiling")
            place = Path(folder) / str(count)
            source = codegen.plan(net, threads=count).build(place)
            inputs = random_inputs(source.plan.program, np.random.default_rng(0))
            (place / "in").write_bytes(b"".join(array.tobytes() for array in inputs))
            program, runs = source.compile(place), _WARM_UP + _PER_TURN
            commands.append([str(program), str(place / "in"), str(place / "out"), str(runs)])
            arenas.append(source.plan.program.arena_bytes)
        for turn in range(max(1, options.runs)):
            options.report(f"{path.stem}: turn {turn + 1} of {options.runs}")
            for count, command in zip(numbers, commands, strict=True):
                times[count] += timed_runs(command)[_WARM_UP:]
        if (Path(folder) / "1" / "out").read_bytes() != (Path(folder) / str(options.threads) / "out").read_bytes():
            raise KakuriError("KK-C22", "threads changed the outputs", where=path.stem)
    one, many = (_figures(times[count]) for count in numbers)
    compared = {
        "ratio": one["latency_seconds"] / many["latency_seconds"],
        "busy_ratio": many["cpu_seconds"] / one["cpu_seconds"],
    }
    return [
        Row("kakuri", f"{path.stem}/1", one | {"arena_bytes": arenas[0]}),
        Row("kakuri", f"{path.stem}/{options.threads}", many | compared | {"arena_bytes": arenas[1]}),
    ]


def _figures(times: list[tuple[float, float]]) -> dict[str, float]:
    elapsed, busy = zip(*times, strict=True)
    return {
        "latency_seconds": statistics.median(elapsed),
        "latency_min_seconds": min(elapsed),
        "cpu_seconds": statistics.median(busy),
    }
