"""Recover the label from what the server saw.

Purpose: train classifiers on many readings of the recorded bytes and side channels, keep the best by leave-one-out,
guess.
Guarantees: nothing about the protection is assumed; the choice between readings never looks at the asked samples.
Does not guarantee: see ``features`` and ``ridge``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks import planted
from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.direct import candidates
from kakuri.attacks.learning import BestFit, best_fit, tables
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
        learnt, read = _learnt(question, spending), _largest_score(question)
        best = read if read is not None and read.error < learnt.error else learnt
        return best.predictions, {"reading": best.reading, "readings_tried": learnt.tried}

    def plaintext(self, target: Target) -> Target:
        return target.unprotected() or planted.sent_as_float32(target)

    def planted(self, random: np.random.Generator) -> Target:
        return planted.plaintext_server(240, random)


def _learnt(question: Question, spending: Spending) -> BestFit:
    """Class numbers from the reading that classifies the known samples best when each is left out."""
    classes = np.unique(question.known_answers)
    one_hot = (question.known_answers[:, None] == classes[None, :]).astype(np.float64)

    def error(fit: Fit) -> float:
        wrong = np.mean(classes[fit.left_out.argmax(axis=1)] != question.known_answers)
        return float(wrong) + 1e-3 * float(np.mean(np.square(fit.left_out - one_hot)))

    best = best_fit(tables(question), question, one_hot, error, spending)
    return replace(best, predictions=classes[best.predictions.argmax(axis=1)])


def _largest_score(question: Question) -> BestFit | None:
    """Class numbers from scores that stand in the message: the place of the largest of as many values as classes."""
    classes = int(question.known_answers.max()) + 1
    best: BestFit | None = None
    for name, known, asked in candidates(question, classes):
        error = float(np.mean(known.argmax(axis=1) != question.known_answers))
        if best is None or error < best.error:
            best = BestFit(asked.argmax(axis=1).astype(np.float64), error, name, 1)
    return best
