"""How far two sets of tensors are apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Difference:
    """absolute: the largest |got - expected|. relative: that over the largest |expected|."""

    name: str
    absolute: float
    relative: float


@dataclass(frozen=True)
class Comparison:
    """One entry per tensor, in order of computation."""

    differences: tuple[Difference, ...]

    @property
    def worst(self) -> Difference:
        return max(self.differences, key=lambda item: item.relative)

    def to_dict(self) -> dict[str, Any]:
        return {"tensors": [vars(item) for item in self.differences], "worst_relative": self.worst.relative}

    def __str__(self) -> str:
        return "\n".join(f"{d.name}: {d.absolute:.3g} absolute, {d.relative:.3g} relative" for d in self.differences)


def compare(pairs: Iterable[tuple[str, NDArray[Any], NDArray[Any]]]) -> Comparison:
    """(name, got, expected) of equal shapes. What is not a number on one side only counts as infinitely far."""
    return Comparison(tuple(Difference(name, *_distance(got, expected)) for name, got, expected in pairs))


def _distance(got: NDArray[Any], expected: NDArray[Any]) -> tuple[float, float]:
    a, b = got.astype(np.float64), expected.astype(np.float64)
    if a.shape != b.shape:
        return float("inf"), float("inf")
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        gaps = np.where(equal, 0.0, np.abs(a - b))
    gaps = np.where(np.isnan(gaps), np.inf, gaps)
    finite = np.abs(b[np.isfinite(b)])
    largest = float(gaps.max()) if gaps.size else 0.0
    scale = float(finite.max()) if finite.size else 0.0
    return largest, largest / scale if scale else (0.0 if largest == 0 else float("inf"))
