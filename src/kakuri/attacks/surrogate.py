"""A small network that imitates another from its answers: what a thief trains on a few queries.

Purpose: ``fit`` learns from features and answers; the result predicts, and says how its loss bends with the features.
Guarantees: the same arguments give the same surrogate; width and decay are chosen on a fifth of the queries held out.
Does not guarantee: the best surrogate; a thief with more data, augmentation or a convolutional network does better.
Source: Tramer et al. 2016, "Stealing Machine Learning Models via Prediction APIs", section 4; Adam: Kingma, Ba 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
_CHOICES = ((0, 1e-3), (0, 1e-1), (64, 1e-3), (64, 1e-1))  # width of the hidden layer (0: none), weight decay
_STEPS, _RATE, _DIRECTIONS = 250, 0.01, 120


@dataclass(frozen=True)
class Surrogate:
    """softmax(relu(x A + a) B + b) on the features' main directions; without A where the hidden layer has no width."""

    mean: Float64
    directions: Float64
    layers: tuple[tuple[Float64, Float64], ...]

    def predict(self, features: Float64) -> Float64:
        """features (n, k) -> probabilities (n, classes)."""
        return _forward(self.layers, (features - self.mean) @ self.directions)[-1]

    def gradient(self, features: Float64, labels: NDArray[np.int64]) -> Float64:
        """Derivative of the cross-entropy at ``labels`` (n,) by the features: (n, k)."""
        values = _forward(self.layers, (features - self.mean) @ self.directions)
        error = values[-1] - np.eye(values[-1].shape[1])[labels]
        for (weights, _), before in zip(reversed(self.layers), reversed(values[:-1]), strict=True):
            error = error @ weights.T
            if before is not values[0]:
                error = error * (before > 0)
        return np.asarray(error @ self.directions.T, np.float64)


def fit(features: Float64, answers: Float64, random: np.random.Generator) -> Surrogate:
    """features (n, k); answers (n, classes): probabilities, or ones where only labels are known."""
    mean = features.mean(axis=0)
    directions = _directions(features - mean)
    x = (features - mean) @ directions
    order = random.permutation(len(x))
    held, rest = order[: len(x) // 5], order[len(x) // 5 :]
    losses = []
    for width, decay in _CHOICES:
        layers = _train(x[rest], answers[rest], width, decay, np.random.default_rng(width))
        guesses = _forward(layers, x[held])[-1]
        losses.append(-float(np.mean(np.sum(answers[held] * np.log(np.maximum(guesses, 1e-12)), axis=1))))
    width, decay = _CHOICES[int(np.argmin(losses))]
    return Surrogate(mean, directions, _train(x, answers, width, decay, np.random.default_rng(width)))


def _directions(centred: Float64) -> Float64:
    """(k, r): the r directions in which few queries differ most, on average with unit spread."""
    _, sizes, rows = np.linalg.svd(centred, full_matrices=False)
    count = max(1, min(_DIRECTIONS, int(np.count_nonzero(sizes > 1e-9 * max(float(sizes[0]), 1e-12)))))
    spread = max(float(sizes[:count].mean()), 1e-12) / np.sqrt(len(centred))
    return np.asarray(rows[:count].T / spread, np.float64)


def _forward(layers: tuple[tuple[Float64, Float64], ...], x: Float64) -> list[Float64]:
    values = [x]
    for weights, bias in layers[:-1]:
        values.append(np.maximum(values[-1] @ weights + bias, 0.0))
    weights, bias = layers[-1]
    scores = values[-1] @ weights + bias
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return [*values, raised / raised.sum(axis=1, keepdims=True)]


def _train(
    x: Float64, answers: Float64, width: int, decay: float, random: np.random.Generator
) -> tuple[tuple[Float64, Float64], ...]:
    """Adam on whole batches; every step sees all queries, of which there are few."""
    sizes = [x.shape[1], *([width] if width else []), answers.shape[1]]
    layers = [
        [random.standard_normal((before, after)) * np.sqrt(2.0 / before), np.zeros(after)]
        for before, after in pairwise(sizes)
    ]
    first = [[np.zeros_like(part) for part in layer] for layer in layers]
    second = [[np.zeros_like(part) for part in layer] for layer in layers]
    for step in range(1, _STEPS + 1):
        values = _forward(tuple((w, b) for w, b in layers), x)
        error = (values[-1] - answers) / len(x)
        for index in reversed(range(len(layers))):
            gradients = (values[index].T @ error + decay * layers[index][0] / len(x), error.sum(axis=0))
            error = (error @ layers[index][0].T) * (values[index] > 0)
            for part, gradient in enumerate(gradients):
                m, v = first[index], second[index]
                m[part] = 0.9 * m[part] + 0.1 * gradient
                v[part] = 0.999 * v[part] + 0.001 * gradient * gradient
                corrected = m[part] / (1 - 0.9**step), v[part] / (1 - 0.999**step)
                layers[index][part] = layers[index][part] - _RATE * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return tuple((weights, bias) for weights, bias in layers)
