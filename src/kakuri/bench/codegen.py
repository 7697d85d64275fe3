"""Generated C beside LiteRT (default, and without delegates: the source document's setting) and ONNX Runtime.

Settings: ``models``, a .tflite or .onnx file or a folder of them. Cases are the files' names. One thread; the systems
take turns run by run; medians. ``ratio`` of a row of ours: default LiteRT's median time over ours (ONNX Runtime's for
.onnx files). ``cpu_seconds`` is the median processor time of a run: the figure to read on a shared machine. A turn is
one run, or as many as take 2 ms, of which the mean counts; ``first_seconds`` is the median of a turn's first run, when
the other systems have used the caches.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from kakuri import codegen, model
from kakuri.bench.environment import default_folder, peer_python
from kakuri.bench.rows import Options, Row
from kakuri.bench.worker import Worker
from kakuri.codegen.examples import random_inputs
from kakuri.errors import KakuriError

_SUFFIXES = (".tflite", ".onnx")


def run(options: Options) -> list[Row]:
    """One row per system and network. Raises KK-C23 without models; a network without C is reported and left out."""
    return rows_of_networks(options, _case)


def rows_of_networks(options: Options, case: Callable[[Path, Options], list[Row]]) -> list[Row]:
    """``case`` of every chosen network. Raises KK-C23; a network that ``case`` refuses is reported and left out."""
    rows: list[Row] = []
    for path in model_files(options.settings.get("models", "")):
        if options.case not in path.stem:
            continue
        try:
            rows += case(path, options)
        except KakuriError as error:
            options.report(f"{path.stem}: left out: {error.problem}")
    return rows


def model_files(source: str) -> list[Path]:
    """A .tflite or .onnx file, or those of a folder. Raises KK-C23."""
    path = Path(source)
    found = sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES) if source and path.is_dir() else [path]
    if not source or not all(item.is_file() for item in found) or not found:
        raise KakuriError(
            "KK-C23", "the benchmark needs networks", got=repr(source), hint="--models FILE or FOLDER, .tflite or .onnx"
        )
    return found


def _case(path: Path, options: Options) -> list[Row]:
    net = model.load(path)
    plan = codegen.plan(net, target="x86-64")
    random = np.random.default_rng(0)
    inputs = random_inputs(plan.program, random)
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder)
        options.report(f"{path.stem}: generating, compiling, comparing with the source model")
        source = plan.build(job / "project")
        difference = source.check(inputs).worst.relative
        library = source.compile(job, shared=True)
        model.save(net, job / "net.onnx")
        named: dict[str, Any] = {str(index): array for index, array in enumerate(inputs)}
        np.savez(job / "inputs.npz", **named)
        record = {
            "library": str(library),
            "entry": plan.entry,
            "arena_bytes": plan.program.arena_bytes,
            "output_bytes": [view.storage.size_bytes for view in plan.program.outputs],
            "tflite": str(path.resolve()),
            "onnx": str(job / "net.onnx"),
        }
        (job / "job.json").write_text(json.dumps(record), encoding="utf-8")
        systems = ["kakuri", "onnxruntime"] + (["litert", "litert-no-delegates"] if path.suffix == ".tflite" else [])
        figures = _in_turns(systems, job, path.stem, options)
        figures["kakuri"] |= {
            "library_bytes": library.stat().st_size,
            "weights_bytes": len(plan.program.weights.blob()),
            "arena_bytes": plan.program.arena_bytes,
            "largest_relative_difference": difference,
        }
    for system in systems[1:]:
        figures["kakuri"][f"ratio_{system}"] = figures[system]["latency_seconds"] / figures["kakuri"]["latency_seconds"]
        figures["kakuri"][f"cpu_ratio_{system}"] = figures[system]["cpu_seconds"] / figures["kakuri"]["cpu_seconds"]
    headline = "litert" if "litert" in systems else "onnxruntime"
    figures["kakuri"]["ratio"] = figures["kakuri"][f"ratio_{headline}"]
    return [Row(system, path.stem, figures[system]) for system in systems]


def _in_turns(systems: list[str], job: Path, name: str, options: Options) -> dict[str, dict[str, Any]]:
    python = peer_python(default_folder(), options.report)
    script = Path(__file__).with_name("peers") / "inference.py"
    answers: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
    figures: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        workers = {s: stack.enter_context(Worker([python, script, s, job], 1)) for s in systems}
        for index in range(options.runs):
            for system, worker in workers.items():
                answers[system].append(worker.run(index))
            options.report(f"{name}: run {index + 1} of {options.runs}")
        for system, worker in workers.items():
            seconds = [answer["seconds"] for answer in answers[system]]
            figures[system] = {
                "latency_seconds": statistics.median(seconds),
                "latency_min_seconds": min(seconds),
                "cpu_seconds": statistics.median(answer["cpu_seconds"] for answer in answers[system]),
                "first_seconds": statistics.median(answer["first_seconds"] for answer in answers[system]),
                "setup_seconds": worker.ready["setup_seconds"],
                "peak_bytes": worker.finish()["peak_bytes"],
            }
    return figures
