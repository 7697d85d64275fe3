"""Personalisation on faces: a device that learns one new person, by the recommended hand-off and by the document's.

Settings: ``seeds`` (2), ``people`` (30), ``keep`` (a folder for finished runs, which a second call goes on from).
Cases: ``best`` and ``resume-100``, which hands everything down and trains all layers. Figures are means over the seeds;
``*_low`` and ``*_high`` bound 95 % of paired bootstrap means. ``ratio``: processor seconds of resume-100 over ours.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from kakuri.bench.personal_protocol import Faces, faces, photos_by_person, server_model
from kakuri.bench.personal_runs import MODES, Mode, device_run, kept
from kakuri.bench.rows import Options, Row

_DRAWS = 10_000


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
    return [_row(name, rows, results["resume-100"]) for name, rows in results.items() if options.case in name]


def _made(mode: Mode, data: Faces, model: ir.Model, seed: int) -> dict[str, Any]:
    return device_run(mode, data, model, seed).to_dict()


def _row(name: str, rows: list[dict[str, float]], ceiling: list[dict[str, float]]) -> Row:
    def values(key: str, of: list[dict[str, float]]) -> np.ndarray:
        return np.array([row[key] for row in of], dtype=np.float64)

    low, high = _interval(values("accuracy", rows), values("accuracy", ceiling))
    mean = {key: float(values(key, rows).mean()) for key in rows[0] if key != "installed"}
    figures: dict[str, float | int | str] = {
        "share_of_ceiling": mean["accuracy"] / float(values("accuracy", ceiling).mean()),
        "share_of_ceiling_low": low,
        "share_of_ceiling_high": high,
        **mean,
        "peak_bytes": int(values("peak_bytes", rows).max()),
        "installed": int(values("installed", rows).sum()),
        "seeds": len(rows),
        "ratio": float(values("cpu_seconds", ceiling).mean() / values("cpu_seconds", rows).mean()),
    }
    return Row("kakuri", name, figures)


def _interval(ours: np.ndarray, ceiling: np.ndarray) -> tuple[float, float]:
    """95 % of the ratios of means when seeds are drawn anew, in pairs."""
    drawn = np.random.default_rng(0).integers(0, len(ours), (_DRAWS, len(ours)))
    ratios = ours[drawn].mean(axis=1) / ceiling[drawn].mean(axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)
