"""Rows of the benchmarks that personalise: every seed with every mode, and intervals over the seeds.

Settings of all of them: ``seeds`` (2), ``keep`` (a folder for finished runs, which a second call goes on from).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from kakuri.bench.paired import paired_row
from kakuri.bench.personal_runs import MODES, Mode, kept
from kakuri.bench.rows import Options, Row

#: A run as JSON takes it, with its figures under ``measures``.
Run = Callable[[Mode], dict[str, Any]]


def rows_of_modes(options: Options, name: str, prepare: Callable[[int, Path], Run]) -> list[Row]:
    """One row per mode. name: begins the files of kept runs. prepare: seed and folder to the runs of that seed."""
    results: dict[str, list[dict[str, float]]] = {mode.name: [] for mode in MODES}
    with ExitStack() as stack:
        given = options.settings.get("keep")
        folder = Path(given or stack.enter_context(tempfile.TemporaryDirectory(prefix="kakuri-personal-")))
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(int(options.settings.get("seeds", "2"))):
            run = prepare(seed, folder)
            for mode in MODES:
                made = kept(folder / f"{name}-{seed}-{mode.name}.json", partial(run, mode))
                measures = made.pop("measures")
                results[mode.name].append({**measures, **made})
                said = ", ".join(f"{key} {value:.3f}" for key, value in measures.items())
                options.report(f"seed {seed}, {mode.name}: {said}, {made['cpu_seconds']:.1f} s")
    return [paired_row(mode, rows, results["resume-100"]) for mode, rows in results.items() if options.case in mode]
