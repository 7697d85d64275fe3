"""Read blinded activations with the help of a public base model.

Purpose: X' = P X Q^-1 stands beside W' = Q W R^-1 in every worker's memory; who has W finds Q, and with it X.
Method: rows and columns of W' are matched with those of the base by their sorted magnitudes; the signs of Q and R
follow from the signs of matched entries, a matrix of rank one. Undoing Q leaves every row with its own scale, and the
sign that makes most entries positive, as after ReLU.
Guarantees: needs no known sample; the known half is not used.
Does not guarantee: anything against masks that mix values; ``gram_alignment`` says what a public base gives away then.
Target: view of rows (float32); ``shared["base"]`` and ``shared["blinded_base"]``, W and W' of the same moment; truth
``direction`` (k, n), the plain rows divided by their norms, and ``group`` as in ``known_plaintext``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.base_model_matching import assigned
from kakuri.attacks.budget import Spending
from kakuri.attacks.matrices import as_rows, matrix_from, rows_of, signed_permutation
from kakuri.attacks.statistics import Correlation
from kakuri.attacks.target import Question, Target
from kakuri.attacks.unblinding import directions


class ActivationInversion(Attack):
    name = "activation_inversion"
    recovers = "activations of samples"
    needs = ("direction",)
    must_reach = 0.9
    metric = Correlation("correlation")
    reads_messages = True

    def why_not(self, target: Target) -> str:
        missing = {"base", "blinded_base"} - set(target.shared)
        return super().why_not(target) or ("the adversary has no base model beside its blinded form" if missing else "")

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        rows = target.distinct()
        return rows[:, None], target.truth["direction"][rows].astype(np.float64)

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        rows = rows_of(next(iter(question.views.values())))[question.asked[:, 0]]
        n = question.known_answers.shape[1]
        width = len(question.shared["base"]) // (4 * n)
        base, blinded = (matrix_from(question.shared[name], max(1, width)) for name in ("base", "blinded_base"))
        if rows.shape[1] != n or base.shape != blinded.shape or len(base) != n:
            return np.zeros((len(rows), n)), {}
        order, signs = _columns(base, blinded)
        found = np.zeros((len(rows), n))
        found[:, order] = rows * signs
        upright = np.where(found.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
        return directions(found * upright), {}

    def plaintext(self, target: Target) -> Target:
        shared = {**target.shared, "blinded_base": target.shared["base"]} if target.plain else target.shared
        return replace(super().plaintext(target), shared=shared)

    def planted(self, random: np.random.Generator) -> Target:
        base, samples = random.standard_normal((40, 60)), np.maximum(random.standard_normal((100, 40)), 0.0)
        q, r = signed_permutation(40, random), signed_permutation(60, random)
        rows = samples @ q.T * random.uniform(0.5, 2.0, (100, 1))
        named = {"base": base, "blinded_base": q @ base @ r.T}
        shared = {name: np.ascontiguousarray(matrix, "<f4").tobytes() for name, matrix in named.items()}
        truth = {"direction": directions(samples)}
        return Target("planted permuted layer", {"activations": as_rows(rows)}, truth, shared=shared)


def _columns(base: Float64, blinded: Float64) -> tuple[NDArray[np.int64], Float64]:
    """Per blinded input (row of W') the input of the base that it is, and its sign up to one common sign."""
    rows, columns = assigned(blinded, base), assigned(blinded.T, base.T)
    agree = np.sign(blinded * base[np.ix_(rows, columns)])
    left, _, _ = np.linalg.svd(agree, full_matrices=False)
    return rows, np.where(left[:, 0] < 0, -1.0, 1.0)
