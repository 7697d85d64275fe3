"""Link two blinded activations of the same sample.

Purpose: samples come again every epoch; a worker that recognises them builds profiles and, with a few known samples,
learns what the others are.
Method: zeros of ReLU stay zeros under permutation and scaling, and so do ratios of magnitudes. Per pair: overlap of
the zero patterns as they stand and as counts, correlation of values and of sorted magnitudes; known pairs teach a
classifier.
Guarantees: same and different pairs are equally many, so that chance is one half.
Does not guarantee: anything about linking by position in a batch; rows of a batch are shuffled by the masks.
Target: view of rows (float32), truth ``group`` equal for rows of equal samples.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kakuri.attacks.attack import Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.distinguish_repeats import DistinguishRepeats
from kakuri.attacks.features import standardise
from kakuri.attacks.matrices import as_rows, rows_of, signed_permutation
from kakuri.attacks.ridge import Fit, fits
from kakuri.attacks.target import Question, Target


class RowLinking(DistinguishRepeats):
    name = "row_linking"
    recovers = "whether two blinded rows are the same sample"
    needs: ClassVar[tuple[str, ...]] = ("group",)
    must_reach = 0.95

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        rows = rows_of(next(iter(question.views.values())))
        known, asked = (
            np.array([_likeness(*rows[pair]) for pair in pairs]) for pairs in (question.known, question.asked)
        )
        signs = 2.0 * question.known_answers[:, None] - 1.0

        def error(fit: Fit) -> float:
            return float(np.mean(np.square(fit.left_out - signs)))

        best = min(fits(standardise(known, known), signs), key=error)
        scores = best.predict(standardise(asked, known))[:, 0]
        return (scores > 0).astype(np.float64), {"zeros_percent": 100.0 * float(np.mean(rows == 0.0))}

    def plaintext(self, target: Target) -> Target:  # the rows themselves, not the image that repeats
        return target.unprotected() or target

    def planted(self, random: np.random.Generator) -> Target:
        samples = np.maximum(random.standard_normal((80, 50)), 0.0)
        twice = np.concatenate([samples, samples]) * random.uniform(0.5, 2.0, (160, 1))
        order = random.permutation(160)
        rows = (twice @ signed_permutation(50, random))[order]
        group = np.tile(np.arange(80), 2)[order]
        return Target("planted permuted activations", {"activations": as_rows(rows)}, {"group": group})


def _likeness(a: Float64, b: Float64) -> list[float]:
    zeros = (a == 0.0), (b == 0.0)
    either = float(np.count_nonzero(zeros[0] | zeros[1]))
    overlap = float(np.count_nonzero(zeros[0] & zeros[1])) / either if either else 0.0
    counts = abs(float(np.count_nonzero(zeros[0])) - float(np.count_nonzero(zeros[1]))) / max(1, a.size)
    return [overlap, counts, abs(_cosine(a, b)), _cosine(np.sort(np.abs(a)), np.sort(np.abs(b)))]


def _cosine(a: Float64, b: Float64) -> float:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0 else 0.0
