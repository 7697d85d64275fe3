"""Recover the label from what the server saw.

Purpose: train classifiers on many readings of the recorded bytes and side channels, keep the best by leave-one-out,
guess.
Guarantees: nothing about the protection is assumed; the choice between readings never looks at the asked samples.
Does not guarantee: see ``features`` and ``ridge``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks import planted
from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.learning import best_fit, tables
from kakuri.attacks.ridge import Fit
from kakuri.attacks.statistics import Accuracy
from kakuri.attacks.target import Question, Target


class LabelFromBytes(Attack):
    name = "label_from_bytes"
    recovers = "the label"
    needs = ("label", "image")
    must_reach = 0.6
    metric = Accuracy()

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        rows = target.distinct()
        return rows[:, None], target.truth["label"][rows].astype(np.float64)

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        return classify(question, spending)

    def plaintext(self, target: Target) -> Target:
        return target.unprotected() or planted.sent_as_float32(target)

    def planted(self, random: np.random.Generator) -> Target:
        return planted.plaintext_server(240, random)


def classify(question: Question, spending: Spending) -> tuple[Float64, dict[str, Detail]]:
    """Class numbers for the asked samples, from the reading that classifies the known ones best when left out."""
    classes = np.unique(question.known_answers)
    one_hot = (question.known_answers[:, None] == classes[None, :]).astype(np.float64)

    def errors(fit: Fit) -> float:
        wrong = np.mean(classes[fit.left_out.argmax(axis=1)] != question.known_answers)
        return float(wrong) + 1e-3 * float(np.mean(np.square(fit.left_out - one_hot)))

    best = best_fit(tables(question), question, one_hot, errors, spending)
    scores = best.predictions
    return classes[scores.argmax(axis=1)], {"reading": best.reading, "readings_tried": best.tried}
