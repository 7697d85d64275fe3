"""Values with intervals, and what chance would give.

Purpose: two metrics, ``Accuracy`` and ``Correlation``, each with a 95 % interval and a permutation test.
Guarantees: the permutation test is exact: if guesses and answers are independent, p_value <= a happens with
probability at most a (Phipson and Smyth 2010, equation 2: the observed value counts as one of the permutations).
Does not guarantee: independence of samples; callers ask about distinct plaintexts.
Source: Wilson 1927 (interval of a proportion); Efron 1979 (bootstrap percentile interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

CONFIDENCE = 0.95
PERMUTATIONS = 49_999
_Z = 1.959963984540054  # normal quantile of (1 + CONFIDENCE) / 2
_BOOTSTRAPS = 1000
_BLOCK = 5_000


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Chance:
    """The same guesses against permuted answers: mean and central 95 %; ``detectable``: the value that would have
    counted
    as a leak at the level asked for."""

    estimate: Estimate
    p_value: float
    detectable: float


class Metric(Protocol):
    """How guesses are scored; larger is better for the adversary."""

    @property
    def name(self) -> str: ...
    def estimate(self, guesses: Float64, answers: Float64, random: np.random.Generator) -> Estimate: ...
    def chance(self, guesses: Float64, answers: Float64, random: np.random.Generator, level: float) -> Chance: ...


def wilson(successes: int, trials: int) -> Estimate:
    """Proportion with Wilson's score interval; ``trials`` at least 1."""
    share = successes / trials
    denominator = 1 + _Z**2 / trials
    centre = (share + _Z**2 / (2 * trials)) / denominator
    half = _Z * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2)) / denominator
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


class Accuracy:
    """Share of right guesses. guesses, answers: (m,) class numbers."""

    name = "accuracy"

    def estimate(self, guesses: Float64, answers: Float64, random: np.random.Generator) -> Estimate:
        return wilson(int(np.count_nonzero(guesses == answers)), len(answers))

    def chance(self, guesses: Float64, answers: Float64, random: np.random.Generator, level: float) -> Chance:
        matches = (guesses[:, None] == answers[None, :]).astype(np.float64)
        return _permutation_test(matches / len(answers), random, level)


@dataclass(frozen=True)
class Correlation:
    """Pearson correlation of guessed and true values after removing each column's mean over the samples.

    guesses, answers: (m, columns), for example pixels. A guess that is the same for every sample (the mean image, for
    example) scores 0, a perfect reconstruction 1.
    """

    name: str

    def estimate(self, guesses: Float64, answers: Float64, random: np.random.Generator) -> Estimate:
        value = _correlation(guesses, answers)
        picks = random.integers(0, len(answers), size=(_BOOTSTRAPS, len(answers)))
        values = _resampled(guesses, answers, picks)
        low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return Estimate(value, float(min(low, value)), float(max(high, value)))

    def chance(self, guesses: Float64, answers: Float64, random: np.random.Generator, level: float) -> Chance:
        centred = [array - array.mean(axis=0) for array in (guesses, answers)]
        norm = float(np.linalg.norm(centred[0]) * np.linalg.norm(centred[1]))
        products = centred[0] @ centred[1].T
        return _permutation_test(products / norm if norm > 0 else np.zeros_like(products), random, level)


def _correlation(guesses: Float64, answers: Float64) -> float:
    a, b = guesses - guesses.mean(axis=0), answers - answers.mean(axis=0)
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.sum(a * b) / norm) if norm > 1e-12 * max(1.0, float(np.linalg.norm(guesses))) else 0.0


def _resampled(guesses: Float64, answers: Float64, picks: NDArray[np.int64]) -> Float64:
    """The correlation of each resample: picks (draws, m) row numbers; (draws,) comes back.

    With c how often each row was picked, sum (a - mean a)(b - mean b) = c . diag(A B^T) - c^T A B^T c / m: products of
    rows are enough, and no resample is ever made.
    """
    count = len(answers)
    counts = np.stack([np.bincount(pick, minlength=count) for pick in picks]).astype(np.float64)
    a, b = guesses - guesses.mean(axis=0), answers - answers.mean(axis=0)

    def about_its_mean(products: Float64) -> Float64:
        spread = np.einsum("dm,dm->d", counts @ products, counts) / count
        return np.asarray(counts @ np.diag(products) - spread)

    norms = np.sqrt(np.maximum(about_its_mean(a @ a.T), 0) * np.maximum(about_its_mean(b @ b.T), 0))
    together = about_its_mean(a @ b.T)
    known = norms > 1e-12 * max(1.0, float(np.linalg.norm(guesses)))
    return np.where(known, together / np.where(known, norms, 1.0), 0.0)


def _permutation_test(gains: Float64, random: np.random.Generator, level: float) -> Chance:
    """gains: (m, m); gains[i, j] is what guess i earns when answer j stands in its place; the value is the trace."""
    count = len(gains)
    rows = np.arange(count)
    observed = float(np.trace(gains))
    values = np.empty(PERMUTATIONS)
    for start in range(0, PERMUTATIONS, _BLOCK):
        size = min(_BLOCK, PERMUTATIONS - start)
        orders = random.permuted(np.tile(rows, (size, 1)), axis=1)
        values[start : start + size] = gains[rows[None, :], orders].sum(axis=1)
    tolerance = 1e-9 * max(1.0, abs(observed))
    p_value = (1 + int(np.count_nonzero(values >= observed - tolerance))) / (1 + PERMUTATIONS)
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    detectable = float(np.quantile(values, 1 - level))
    return Chance(Estimate(float(values.mean()), float(low), float(high)), p_value, detectable)
