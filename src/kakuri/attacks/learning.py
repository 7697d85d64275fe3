"""The search that learning attacks share: every reading of every view, every kernel, every penalty.

Purpose: ``tables`` lists the readings of a question, ``best_fit`` chooses among them by leave-one-out error.
Guarantees: only known answers are used; when time is up the best so far is kept (at least one reading is always tried).
Does not guarantee: that the best reading for the known samples is the best for the asked ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.budget import Spending
from kakuri.attacks.features import READINGS, standardise
from kakuri.attacks.ridge import Fit, fits
from kakuri.attacks.target import Question

Float64 = NDArray[np.float64]
Table = Callable[[], Float64]


@dataclass(frozen=True)
class BestFit:
    """predictions: (asked, targets). error: of the known samples, left out. reading: which table won. tried: number."""

    predictions: Float64
    error: float
    reading: str
    tried: int


def tables(question: Question) -> Iterator[tuple[str, Table]]:
    """Name and features (samples, features) of every reading of every view and side channel."""
    for view, samples in question.views.items():
        joined = tuple(b"".join(sample) for sample in samples)
        for name, reading in READINGS.items():
            yield f"{view} as {name}", partial(reading, joined)
    for channel, values in question.numbers.items():
        yield channel, partial(np.copy, values)


def best_fit(
    readings: Iterable[tuple[str, Table]],
    question: Question,
    targets: Float64,
    error: Callable[[Fit], float],
    spending: Spending,
) -> BestFit:
    """The fit with the least ``error``, applied to the asked samples. ``targets``: (known, t)."""
    known, asked = question.known[:, 0], question.asked[:, 0]
    best = BestFit(np.tile(targets.mean(axis=0), (len(asked), 1)), np.inf, "nothing", 0)
    tried = 0
    for name, table in readings:
        if tried and spending.out_of_time():
            break
        features = table()
        features = standardise(features, features[known])
        tried += 1
        for fit in fits(features[known], targets):
            found = error(fit)
            if found < best.error:
                best = BestFit(fit.predict(features[asked]), found, name, tried)
    return BestFit(best.predictions, best.error, best.reading, tried)
