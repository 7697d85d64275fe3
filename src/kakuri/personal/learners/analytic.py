"""A head in closed form, from the general classes' moments and the personal samples: no torch, no steps.

Purpose: the recommended way to learn a class that the server's last features do not tell apart (``split.tapped``).
Guarantees: as ``learner.Learner``; one epoch is the whole training.
Does not guarantee: a better head than steps would find where features separate classes well already.
Source: see ``kakuri.personal.moments``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.personal.learners.learner import Float32, Int64, Learned, State
from kakuri.personal.linear import Head
from kakuri.personal.moments import Moments, solve


class AnalyticLearner:
    """general: of the data handed down. features, labels: (n, d) and (n,) of the personal samples."""

    def __init__(self, general: Moments, features: Float32, labels: Int64, classes: int) -> None:
        self._moments, self._classes = general.joined(features, labels), classes
        self._x, self._y = features, labels
        width = features.shape[1]
        self._head = Head(np.zeros((classes, width), np.float32), np.zeros(classes, np.float32))

    def epoch(self, index: int) -> float:
        """Solves; returns the mean square error of the personal samples' scores."""
        self._head = solve(self._moments, self._classes)
        scores = self._x @ self._head.weight.T + self._head.bias
        present = self._moments.labels
        return float(np.mean((scores[:, present] - (present == self._y[:, None])) ** 2))

    def state(self) -> dict[str, NDArray[Any]]:
        return {"weight": self._head.weight.copy(), "bias": self._head.bias.copy()}

    def restore(self, state: State) -> None:
        self._head = Head(np.asarray(state["weight"]), np.asarray(state["bias"]))

    def learned(self) -> Learned:
        return Learned(self._head, {})
