"""Learn how full the picture is from sizes and counts alone.

Purpose: a content-dependent encoding betrays its content to whoever counts bytes, however well each byte is encrypted.
Guarantees: only the number and the lengths of messages are used. When they are the same for every sample there is
nothing to learn, and the result says that as a fact (``no_information``), not as a failure of the attack.
Does not guarantee: anything about times; recorded times are a side channel for the other attacks.
Unprotected: the same pictures deflated, as PNG does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks import planted
from kakuri.attacks.attack import NO_INFORMATION, Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.learning import best_fit, tables
from kakuri.attacks.ridge import Fit
from kakuri.attacks.statistics import Correlation
from kakuri.attacks.target import Messages, Question, Target


class SizeAndShapeLeak(Attack):
    name = "size_and_shape_leak"
    recovers = "how full the picture is"
    needs = ("image",)
    must_reach = 0.6
    metric = Correlation("correlation")
    reads_messages = True

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        rows = target.distinct()
        fullness = target.truth["image"][rows].reshape(len(rows), -1).astype(np.float64).mean(axis=1)
        return rows[:, None], fullness[:, None]

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        known = question.known_answers

        def error(fit: Fit) -> float:
            return float(np.mean(np.square(fit.left_out - known)))

        sizes = {view: _sizes(samples) for view, samples in question.views.items()}
        constant = all(len(np.unique(table, axis=0)) == 1 for table in sizes.values())
        best = best_fit(tables(replace(question, views={}, numbers=sizes)), question, known, error, spending)
        return best.predictions, {NO_INFORMATION: "all sizes and counts are equal"} if constant else {}

    def plaintext(self, target: Target) -> Target:
        return replace(target, views={"query": planted.as_compressed(target.truth["image"])}, numbers={}, plain={})

    def planted(self, random: np.random.Generator) -> Target:
        images, labels = planted.glyphs(240, random)
        views = {"query": planted.as_compressed(images)}
        return Target("planted server of compressed pictures", views, {"image": images, "label": labels})


def _sizes(samples: Messages) -> Float64:
    """(samples, 1 + most messages): count, then lengths in order, 0 where there is no further message."""
    most = max((len(sample) for sample in samples), default=0)
    table = np.zeros((len(samples), 1 + most))
    for row, sample in zip(table, samples, strict=True):
        row[0] = len(sample)
        row[1 : 1 + len(sample)] = [len(message) for message in sample]
    return table
