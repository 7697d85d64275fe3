"""Recover weight updates from orthogonally blinded weights and a base model.

Purpose: Q W R^T and W have the same singular values, and their singular vectors differ by Q and R alone; with the
weights the training started from, the blinded update follows up to one sign per singular vector.
Method: W0 = U S V^T from the base, W0' = U' S' V'^T from the first blinded weights; U'^T (W1' - W0') V' is the
update in the base's singular basis up to signs; the known rows of the update fix the signs.
Guarantees: works on any orthogonal blinding, permutations included, and the adversary is granted half of the true rows.
Does not guarantee: signs without known rows, nor the part of an update outside the base's row and column space: for
a weight of n x m the correlation stays below about sqrt(min(n, m) / max(n, m)).
Source: orthogonal Procrustes alignment (Schoenemann 1966), here through singular vectors.
Target: view with two messages per row, W0' and W1' (float32); ``shared["base"]``; truth ``update`` (n, m), rows of
W1 - W0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.matrices import matrix_from, orthogonal, rows_of
from kakuri.attacks.statistics import Correlation
from kakuri.attacks.target import Messages, Question, Target, messages


class GramAlignment(Attack):
    name = "gram_alignment"
    recovers = "the update of the weights"
    needs = ("update",)
    must_reach = 0.8
    metric = Correlation("correlation")
    reads_messages = True

    def why_not(self, target: Target) -> str:
        return super().why_not(target) or ("" if "base" in target.shared else "the adversary has no base model")

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        return np.arange(target.samples)[:, None], target.truth["update"].astype(np.float64)

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        nothing = np.zeros((len(question.asked), question.known_answers.shape[1]))
        samples = next(iter(question.views.values()))
        before, after = rows_of(samples, 0), rows_of(samples, 1)
        base = matrix_from(question.shared["base"], question.known_answers.shape[1])
        if before.shape != base.shape or after.shape != base.shape:
            return nothing, {}
        u, _, vt = np.linalg.svd(base, full_matrices=False)
        u_blind, _, vt_blind = np.linalg.svd(before, full_matrices=False)
        core = u_blind.T @ (after - before) @ vt_blind.T  # D (U^T dW V) D with unknown signs D
        known, asked = question.known[:, 0], question.asked[:, 0]
        seen = u[known].T @ question.known_answers @ vt.T  # the known rows' share of U^T dW V
        agreement = seen * core
        _, vectors = np.linalg.eigh(agreement + agreement.T)
        signs = np.where(vectors[:, -1] < 0, -1.0, 1.0)
        return u[asked] @ (core * np.outer(signs, signs)) @ vt, {}

    def planted(self, random: np.random.Generator) -> Target:
        base = random.standard_normal((48, 48))
        update = 0.05 * random.standard_normal((48, 3)) @ random.standard_normal((3, 48))
        q, r = orthogonal(48, random), orthogonal(48, random)
        shared = {"base": np.ascontiguousarray(base, "<f4").tobytes()}
        view = pairs(q @ base @ r.T, q @ (base + update) @ r.T)
        return Target("planted rotated weights", {"weights": view}, {"update": update}, shared=shared)


def pairs(before: Float64, after: Float64) -> Messages:
    """Two messages per row."""
    both = zip(before.astype("<f4"), after.astype("<f4"), strict=True)
    return messages([(a.tobytes(), b.tobytes()) for a, b in both])
