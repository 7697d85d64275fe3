"""Training the head alone, in numpy: no torch in the process, a few megabytes of memory.

Purpose: softmax regression on stored features of a frozen trunk, starting from the server's head.
Guarantees: as ``learner.Learner``; float64 inside, one thread.
Does not guarantee: that a frozen trunk can tell the new class apart; then a deeper method is due.

Legend: X features (b, d), W weights (K, d), b bias (K,), P softmax (b, K), A the anchor (the head at the start).
loss = cross-entropy + anchor / 2 * |W - A|^2; gradient by W: (P - Y)^T X / batch + anchor (W - A).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.personal.learners.learner import Float32, Int64, Learned, State, balanced_batches, with_new_rows
from kakuri.personal.linear import Head
from kakuri.trust.entropy import SeededRandomness

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class HeadSettings:
    """rate: step size on features scaled to unit mean square. anchor: pull towards the server's head."""

    rate: float = 0.1
    momentum: float = 0.9
    anchor: float = 1e-3
    batch: int = 64


class HeadLearner:
    """features: (n, d). labels: (n,) below ``classes``."""

    def __init__(
        self,
        features: Float32,
        labels: Int64,
        head: Head,
        classes: int,
        *,
        randomness: SeededRandomness,
        settings: HeadSettings | None = None,
    ) -> None:
        self._settings = settings or HeadSettings()
        self._scale = float(np.sqrt(np.mean(features.astype(np.float64) ** 2)) or 1.0)
        self._x = features.astype(np.float64) / self._scale
        self._y = labels
        self._randomness = randomness
        start = with_new_rows(head, features, labels, classes)
        self._weight = start.weight.astype(np.float64) * self._scale
        self._bias = start.bias.astype(np.float64)
        self._anchor = self._weight.copy()
        self._velocity = np.zeros_like(self._weight)
        self._bias_velocity = np.zeros_like(self._bias)

    def epoch(self, index: int) -> float:
        s, losses = self._settings, []
        generator = self._randomness.child(f"epoch {index}").generator()
        for chosen in balanced_batches(self._y, s.batch, generator):
            x, y = self._x[chosen], self._y[chosen]
            shares = softmax(x @ self._weight.T + self._bias)
            rows = np.arange(len(y))
            losses.append(-np.log(shares[rows, y] + 1e-30).mean())
            shares[rows, y] -= 1
            self._velocity = s.momentum * self._velocity - s.rate * (
                shares.T @ x / len(y) + s.anchor * (self._weight - self._anchor)
            )
            self._bias_velocity = s.momentum * self._bias_velocity - s.rate * shares.mean(axis=0)
            self._weight += self._velocity
            self._bias += self._bias_velocity
        return float(np.mean(losses))

    def state(self) -> dict[str, NDArray[Any]]:
        names = ("weight", "bias", "velocity", "bias_velocity")
        return {name: getattr(self, f"_{name}").copy() for name in names}

    def restore(self, state: State) -> None:
        for name, array in state.items():
            own: Float64 = getattr(self, f"_{name}")
            own[...] = array

    def learned(self) -> Learned:
        weight = (self._weight / self._scale).astype(np.float32)
        return Learned(Head(weight, self._bias.astype(np.float32)), {})


def softmax(scores: Float64) -> Float64:
    """Along the last axis."""
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))
