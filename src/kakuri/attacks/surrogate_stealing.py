"""Steal the network: a surrogate learns its labels from what can be seen of each query.

Purpose: fidelity (share of equal labels) of a surrogate that was trained on the known half of the samples.
Guarantees: the surrogate sees the side channels and the network's labels of the known samples, nothing else.
Does not guarantee: see ``surrogate``.
Source: Tramer et al. 2016; fidelity after Jagielski et al. 2020, section 2.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks import planted, surrogate
from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.statistics import Accuracy
from kakuri.attacks.target import Question, Target


class SurrogateStealing(Attack):
    """truth: ``answered`` (n,), the network's labels; ``scores`` (n, classes), what it says when it is open."""

    name = "surrogate_stealing"
    recovers = "the network's answers"
    needs = ("answered", "scores")
    must_reach = 0.7
    metric = Accuracy()

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        rows = target.distinct()
        return rows[:, None], target.truth["answered"][rows].astype(np.float64)

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        features = np.concatenate(list(question.numbers.values()), axis=1)
        classes = np.unique(question.known_answers)
        ones = (question.known_answers[:, None] == classes[None, :]).astype(np.float64)
        thief = surrogate.fit(features[question.known[:, 0]], ones, random)
        guesses = classes[thief.predict(features[question.asked[:, 0]]).argmax(axis=1)]
        return guesses, {"queries": len(question.known), "features": features.shape[1]}

    def why_not(self, target: Target) -> str:
        return super().why_not(target) or ("" if target.numbers else "the target has no side channels to learn from")

    def plaintext(self, target: Target) -> Target:
        """Who has the whole network has its scores."""
        return replace(target, views={}, plain={}, numbers={"scores": np.asarray(target.truth["scores"], np.float64)})

    def planted(self, random: np.random.Generator) -> Target:
        images, labels = planted.glyphs(400, random)
        numbers = {"input": images.reshape(len(images), -1)}
        truth = {"answered": labels, "scores": np.eye(planted.CLASSES)[labels]}
        return Target("planted open network", {}, truth, numbers=numbers)
