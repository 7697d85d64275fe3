"""Match the rows of blinded weights with the rows of a public base model.

Purpose: permutation blinding keeps every value; whoever has the model the training started from needs no key.
Method: a row's sorted magnitudes do not change when its columns are permuted and their signs flipped; the distances
between the signatures of blinded and of base rows are turned into an assignment by Sinkhorn's iteration, which
prefers pairs that fit each other better than anybody else.
Guarantees: uses the blinded rows and the base alone; the known half is not needed.
Does not guarantee: to find rows that a better invariant would.
Source: Sinkhorn 1964; the invariant is arithmetic.
Target: view of rows (float32), ``shared["base"]`` the base's bytes, truth ``base_row`` (n,) which base row each
sample is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.matrices import as_rows, matrix_from, rows_of, signed_permutation
from kakuri.attacks.statistics import Accuracy
from kakuri.attacks.target import Question, Target

_ROUNDS = 50


class BaseModelMatching(Attack):
    name = "base_model_matching"
    recovers = "which row of a public base model each blinded row is"
    needs = ("base_row",)
    must_reach = 0.9
    metric = Accuracy()
    reads_messages = True

    def why_not(self, target: Target) -> str:
        return super().why_not(target) or ("" if "base" in target.shared else "the adversary has no base model")

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        return np.arange(target.samples)[:, None], target.truth["base_row"].astype(np.float64)

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        rows = rows_of(next(iter(question.views.values())))
        base = matrix_from(question.shared["base"], max(1, rows.shape[1]))
        if not len(base) or not rows.shape[1]:
            return np.zeros(len(question.asked)), {}
        return assigned(rows, base)[question.asked[:, 0]].astype(np.float64), {}

    def planted(self, random: np.random.Generator) -> Target:
        base = random.standard_normal((120, 40))
        order = random.permutation(len(base))
        blinded = base[order] @ signed_permutation(40, random) + 0.01 * random.standard_normal(base.shape)
        shared = {"base": np.ascontiguousarray(base, "<f4").tobytes()}
        return Target("planted permuted weights", {"weights": as_rows(blinded)}, {"base_row": order}, shared=shared)


def assigned(rows: Float64, base: Float64) -> NDArray[np.int64]:
    """rows (n, k), base (m, k): per row the number of the base's row whose magnitudes it has."""
    signatures = [np.sort(np.abs(matrix), axis=1) for matrix in (rows, base)]
    return np.asarray(_assignment(_distances(*signatures)).argmax(axis=1), np.int64)


def _distances(a: Float64, b: Float64) -> Float64:
    """(n, k) squared."""
    return np.asarray(np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None, :] - 2.0 * a @ b.T)


def _assignment(distances: Float64) -> Float64:
    """Sinkhorn's scaling of exp(-distance / temperature) towards equal row and column sums."""
    temperature = 0.1 * float(np.median(distances)) + 1e-12
    logs = -(distances - distances.min(axis=1, keepdims=True)) / temperature
    for _ in range(_ROUNDS):
        for axis in (1, 0):
            top = logs.max(axis=axis, keepdims=True)
            logs = logs - top - np.log(np.exp(logs - top).sum(axis=axis, keepdims=True))
    return np.asarray(logs)
