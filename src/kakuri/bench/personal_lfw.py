"""Personalisation on faces: a device that learns one new person, by the recommended hand-off and by the document's.

Settings: ``seeds`` (2), ``people`` (30), ``keep`` (a folder for finished runs, which a second call goes on from).
Cases: ``best`` and ``resume-100``, which hands everything down and trains all layers. Figures are means over the seeds;
``*_low`` and ``*_high`` bound 95 % of paired bootstrap means (`paired`). ``ratio``: processor seconds of
resume-100 over ours.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir

from kakuri.bench.paired import paired_row
from kakuri.bench.personal_protocol import Faces, faces, photos_by_person, server_model
from kakuri.bench.personal_runs import MODES, Mode, device_run, kept, task_of
from kakuri.bench.rows import Options, Row


def run(options: Options) -> list[Row]:
    """One row per case. Raises KK-D20 without the photos."""
    seeds, people = int(options.settings.get("seeds", "2")), int(options.settings.get("people", "30"))
    photos = photos_by_person()
    results: dict[str, list[dict[str, float]]] = {mode.name: [] for mode in MODES}
    with ExitStack() as stack:
        given = options.settings.get("keep")
        folder = Path(given or stack.enter_context(tempfile.TemporaryDirectory(prefix="kakuri-lfw-")))
        for seed in range(seeds):
            data = faces(photos, people, seed)
            folder.mkdir(parents=True, exist_ok=True)
            model = server_model(data, seed, folder / f"server-{people}-{seed}.onnx")
            for mode in MODES:
                path = folder / f"device-{people}-{seed}-{mode.name}.json"
                made = kept(path, partial(_made, mode, data, model, seed))
                flat = {**made.pop("measures"), **made}
                results[mode.name].append(flat)
                options.report(
                    f"seed {seed}, {mode.name}: accuracy {flat['accuracy']:.3f}, recall {flat['personal_recall']:.3f}, "
                    f"false-personal {flat['false_personal']:.3f}, {flat['cpu_seconds']:.1f} s"
                )
    return [paired_row(name, rows, results["resume-100"]) for name, rows in results.items() if options.case in name]


def _made(mode: Mode, data: Faces, model: ir.Model, seed: int) -> dict[str, Any]:
    return device_run(mode, task_of(data), model, seed).to_dict()
