"""Known plaintext: from some rows that the adversary knows to all others under the same masks.

Purpose: whoever contributes samples, or can guess some, tries to read the rest.
Method: ``unblinding`` on the pairs of known rows.
Guarantees: uses the blinded rows, and which plain row belongs to each known one: the strongest form, in which rows need
not be matched first.
Does not guarantee: anything about columns that are equal in all known rows.
Source: Chosen- and known-plaintext attacks on linear ciphers (Hill 1929 is broken so).
Target: view of rows (float32), truth ``direction`` (n, m), the plain rows divided by their norms, and ``group``, equal
for rows of one sample, of which only one is used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.matrices import as_rows, rows_of, signed_permutation
from kakuri.attacks.statistics import Correlation
from kakuri.attacks.target import Question, Target
from kakuri.attacks.unblinding import directions, unblind


class KnownPlaintext(Attack):
    name = "known_plaintext"
    recovers = "activations of other samples"
    needs = ("direction",)
    must_reach = 0.9
    metric = Correlation("correlation")

    def why_not(self, target: Target) -> str:
        if not target.views or "columns" in target.public:
            return "it records no rows of activations"
        return super().why_not(target)

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        rows = target.distinct()
        return rows[:, None], target.truth["direction"][rows].astype(np.float64)

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        rows = directions(rows_of(next(iter(question.views.values()))))
        if not rows.shape[1]:
            return np.zeros((len(question.asked), question.known_answers.shape[1])), {}
        known, asked = rows[question.known[:, 0]], rows[question.asked[:, 0]]
        guesses, how = unblind(known, question.known_answers, asked)
        return guesses, {"method": how}

    def planted(self, random: np.random.Generator) -> Target:
        samples = np.maximum(random.standard_normal((160, 40)), 0.0)
        rows = samples @ signed_permutation(40, random) * random.uniform(0.5, 2.0, (160, 1))
        return Target("planted permuted samples", {"activations": as_rows(rows)}, {"direction": directions(samples)})
