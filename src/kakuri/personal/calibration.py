"""Keeping a new class from swallowing the others.

Purpose: one offset for all new classes, chosen on general samples that nothing was trained on.
Guarantees: on the guard set itself, at most ``target`` of the general samples are taken for a new class.
Does not guarantee: the same rate elsewhere; with n guard samples the rate of new ones scatters by about
sqrt(target / n). What is reported to users is measured on other samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from kakuri.personal.linear import Head

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


def calibrated(head: Head, old: int, guard: Float32, target: float, *, normal: bool) -> Head:
    """``head`` with the biases of classes ``old`` ... moved by one offset.

    guard: (n, d) features of general samples. The offset is the highest with which at most the share ``target`` of the
    guard set is taken for a new class; it may raise the new classes' scores as well as lower them. normal: at most that
    share of a normal distribution with the mean and deviation of the guard set's margins, too. A few dozen samples say
    little of their own tail, and all of them together more, where scores are sums of many features of equal rank, as
    those of a head in closed form are.
    """
    if old == len(head.weight) or not len(guard):
        return head
    margins = np.sort(_margins(head, old, guard).astype(np.float64))[::-1]  # new over old, the most mistaken first
    allowed = margins[int(target * len(margins))]
    # Between the last sample that may be mistaken and the first that may not, nearer to the first.
    threshold = allowed + 1e-4 * (1 + abs(allowed))
    if normal and target > 0:
        fitted = margins.mean() - NormalDist().inv_cdf(target) * margins.std()
        threshold = max(threshold, fitted)
    bias = head.bias.copy()
    bias[old:] -= np.float32(threshold)
    return Head(head.weight, bias)


def _margins(head: Head, old: int, features: Float32) -> Float32:
    scores = features @ head.weight.T + head.bias
    made: Float32 = scores[:, old:].max(axis=1) - scores[:, :old].max(axis=1)
    return made


@dataclass(frozen=True)
class Counts:
    """What a head does on labelled features; counts, so that several sets add up.

    general: samples of old classes, correct: of them, right, false_personal: of them, taken for a new class.
    personal: samples of new classes, recalled: of them, right.
    """

    general: int
    correct: int
    false_personal: int
    personal: int
    recalled: int

    @property
    def general_accuracy(self) -> float:
        return self.correct / max(1, self.general)

    @property
    def false_personal_rate(self) -> float:
        return self.false_personal / max(1, self.general)

    @property
    def personal_recall(self) -> float:
        return self.recalled / max(1, self.personal)


def counts(head: Head, old: int, features: Float32, labels: Int64) -> Counts:
    """features: (n, d). labels: (n,); classes from ``old`` on are new."""
    said = predict(head, features)
    general = labels < old
    return Counts(
        general=int(general.sum()),
        correct=int((said == labels)[general].sum()),
        false_personal=int((said[general] >= old).sum()),
        personal=int((~general).sum()),
        recalled=int((said == labels)[~general].sum()),
    )


def predict(head: Head, features: Float32) -> Int64:
    """(n, d) -> (n,) labels."""
    made: Int64 = (features @ head.weight.T + head.bias).argmax(axis=1)
    return made
