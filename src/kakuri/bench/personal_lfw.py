"""Personalisation on faces: a device that learns one new person, by the recommended hand-off and by the document's.

Settings: ``seeds`` (2), ``people`` (30), ``keep`` (a folder for finished runs, which a second call goes on from).
Cases: ``best`` and ``resume-100``, which hands everything down and trains all layers. Figures are means over the seeds;
``*_low`` and ``*_high`` bound 95 % of paired bootstrap means (`paired`). ``ratio``: processor seconds of
resume-100 over ours.
"""

from __future__ import annotations

from pathlib import Path

from kakuri.bench.personal_protocol import faces, photos_by_person, server_model
from kakuri.bench.personal_rows import Run, rows_of_modes
from kakuri.bench.personal_runs import device_run, task_of
from kakuri.bench.rows import Options, Row


def run(options: Options) -> list[Row]:
    """One row per case. Raises KK-D20 without the photos."""
    people = int(options.settings.get("people", "30"))
    photos = photos_by_person()

    def prepare(seed: int, folder: Path) -> Run:
        data = faces(photos, people, seed)
        model = server_model(data, seed, folder / f"server-{people}-{seed}.onnx")
        return lambda mode: device_run(mode, task_of(data), model, seed).to_dict()

    return rows_of_modes(options, f"device-{people}", prepare)
