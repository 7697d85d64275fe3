"""Rows of benchmarks whose runs are paired by seed.

Guarantees: ``*_low`` and ``*_high`` bound 95 % of the ratios of means when seeds are drawn anew, in pairs.
Does not guarantee: intervals that mean much with few seeds; ``seeds`` says how many there were.
"""

from __future__ import annotations

import numpy as np

from kakuri.bench.rows import Row

_DRAWS = 10_000


def paired_row(name: str, rows: list[dict[str, float]], ceiling: list[dict[str, float]]) -> Row:
    """Means over the runs; rows and ceiling are of the same seeds, in order."""

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
