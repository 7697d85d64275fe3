"""Rows of benchmarks whose runs are paired by seed.

Guarantees: ``*_low`` and ``*_high`` bound 95 % of the ratios of means when seeds are drawn anew, in pairs.
Does not guarantee: intervals that mean much with few seeds; ``seeds`` says how many there were.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri.bench.rows import Row

_DRAWS = 10_000
Float64 = NDArray[np.float64]


def paired_row(name: str, rows: list[dict[str, float]], ceiling: list[dict[str, float]]) -> Row:
    """Means over the runs; rows and ceiling are of the same seeds, in order.

    personal_recall_gain: over the ceiling's, a difference.
    """

    def values(key: str, of: list[dict[str, float]]) -> Float64:
        return np.array([row[key] for row in of], dtype=np.float64)

    accuracy, most = values("accuracy", rows), values("accuracy", ceiling)
    gain = values("personal_recall", rows) - values("personal_recall", ceiling)
    drawn = np.random.default_rng(0).integers(0, len(rows), (_DRAWS, len(rows)))
    bands = {
        "share_of_ceiling": accuracy[drawn].mean(axis=1) / most[drawn].mean(axis=1),
        "personal_recall_gain": gain[drawn].mean(axis=1),
    }
    if "false_personal" in rows[0]:
        bands["false_personal"] = values("false_personal", rows)[drawn].mean(axis=1)
    mean = {key: float(values(key, rows).mean()) for key in rows[0] if key != "installed"}
    figures: dict[str, float | int | str] = {
        "share_of_ceiling": float(accuracy.mean() / most.mean()),
        **mean,
        "personal_recall_gain": float(gain.mean()),
        "peak_bytes": int(values("peak_bytes", rows).max()),
        "installed": int(values("installed", rows).sum()),
        "seeds": len(rows),
        "ratio": float(values("cpu_seconds", ceiling).mean() / values("cpu_seconds", rows).mean()),
    }
    for key, means in bands.items():
        figures[f"{key}_low"], figures[f"{key}_high"] = map(float, np.quantile(means, (0.025, 0.975)))
    return Row("kakuri", name, figures)
