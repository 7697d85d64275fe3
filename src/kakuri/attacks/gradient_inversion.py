"""Read single samples out of a layer's gradients.

Purpose: the gradient of a linear layer for one sample is x^T dy: of rank one, with the input as its left side. Whoever
sees gradients of single samples, blinded or not, sees their inputs up to scale and mask ("deep leakage", exactly).
Method: the leading left singular vector of each gradient; one common direction decides its sign, which is right for
inputs that are mostly positive, as after ReLU; then ``unblinding`` from the known half.
Guarantees: uses the gradients and the known rows; no model, no label, no optimisation that could get stuck.
Does not guarantee: to separate the samples of larger batches, whose gradient is a sum.
Source: Zhu, Liu, Han 2019 (DLG); Geiping et al. 2020, proposition 3.1 (linear layers invert exactly).
Target: view of one gradient (n, m) per sample (float32), ``public["columns"]`` m; truth ``direction`` (k, n), the plain
inputs divided by their norms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.matrices import as_rows, orthogonal, rows_of
from kakuri.attacks.statistics import Correlation
from kakuri.attacks.target import Question, Target
from kakuri.attacks.unblinding import directions, unblind

_ITERATIONS = 8


class GradientInversion(Attack):
    name = "gradient_inversion"
    recovers = "inputs of single samples"
    needs = ("direction",)
    must_reach = 0.9
    metric = Correlation("correlation")
    reads_messages = True

    def why_not(self, target: Target) -> str:
        missing = "" if "columns" in target.public else "its messages are not gradients of known width"
        return super().why_not(target) or missing

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        return np.arange(target.samples)[:, None], target.truth["direction"].astype(np.float64)

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        flat = rows_of(next(iter(question.views.values())))
        width, n = int(question.public["columns"]), question.known_answers.shape[1]
        if flat.shape[1] != n * width:
            return np.zeros((len(question.asked), n)), {}
        inputs = np.stack([_input(gradient.reshape(n, width)) for gradient in flat])
        _, _, common = np.linalg.svd(inputs, full_matrices=False)
        inputs = inputs * np.where(inputs @ common[0] < 0, -1.0, 1.0)[:, None]
        guesses, how = unblind(inputs[question.known[:, 0]], question.known_answers, inputs[question.asked[:, 0]])
        return guesses, {"method": how}

    def planted(self, random: np.random.Generator) -> Target:
        samples = np.maximum(random.standard_normal((160, 20)), 0.0)
        q = orthogonal(20, random)
        gradients = [np.outer(q @ x, random.standard_normal(12)) for x in samples]
        view = {"gradients": as_rows(np.stack(gradients).reshape(len(samples), -1))}
        return Target("planted gradients", view, {"direction": directions(samples)}, public={"columns": "12"})


def _input(gradient: Float64) -> Float64:
    """(n, m) -> (n,), of norm 1 or 0: the left side of the rank-one matrix closest to it, by power iteration from the
    largest column."""
    scaled = gradient / max(float(np.abs(gradient).max()), 1e-300)  # what is tiny would be slow
    left = scaled[:, np.square(scaled).sum(axis=0).argmax()]
    for _ in range(_ITERATIONS):
        left = scaled @ (left @ scaled)
        left = left / max(float(np.linalg.norm(left)), 1e-300)
    return np.asarray(left)
