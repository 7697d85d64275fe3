"""Expected accuracy, before anything is handed down.

Purpose: on the server, play the device: take one general class as the new person, hand down the rest, learn, measure.
Guarantees: the same learner, calibration and form as on the device; measured on held-out samples only, one half for
calibration and the other for the figures.
Does not guarantee: the device's figures. The trunk has seen the class that plays the new person, so recall is
optimistic; a real new person is harder. The figures compare budgets, forms and strategies with each other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from kakuri.personal.calibration import Counts, calibrated, counts
from kakuri.personal.features import Float32
from kakuri.personal.learners.analytic import AnalyticLearner
from kakuri.personal.learners.head import HeadLearner
from kakuri.personal.learners.learner import Int64, Learner
from kakuri.personal.linear import Head
from kakuri.personal.moments import Moments
from kakuri.trust.entropy import SeededRandomness


@dataclass(frozen=True)
class Simulation:
    """Means over the classes that played the new one."""

    classes_tried: int
    general_accuracy: float
    personal_recall: float
    false_personal_rate: float

    def to_dict(self) -> dict[str, float | int]:
        return asdict(self)


@dataclass(frozen=True)
class Trial:
    """What simulation needs. train: what would be handed down, features and labels or moments. guard: held out.

    own: features of each class's own trained samples, or their views, to play the personal photos.
    """

    train: tuple[Float32, Int64] | Moments
    guard: Float32
    guard_labels: Int64
    own: Float32
    own_labels: Int64
    head: Head


def simulate(trial: Trial, *, tries: int, epochs: int, target: float, seed: int) -> Simulation:
    """Plays up to ``tries`` classes, drawn by ``seed`` among those that have samples in every part."""
    random = SeededRandomness(seed, "simulation")
    present = np.intersect1d(np.intersect1d(trial.own_labels, trial.guard_labels), np.arange(len(trial.head.weight)))
    chosen = random.generator().permutation(present)[:tries]
    results = [_play(trial, int(label), epochs, target, random.child(str(label))) for label in chosen]
    total = len(results)
    return Simulation(
        total,
        sum(r.general_accuracy for r in results) / max(1, total),
        sum(r.personal_recall for r in results) / max(1, total),
        sum(r.false_personal_rate for r in results) / max(1, total),
    )


def _play(trial: Trial, label: int, epochs: int, target: float, random: SeededRandomness) -> Counts:
    """``label`` is taken out of the head, becomes the last class, and is learnt again."""
    old = len(trial.head.weight) - 1
    keep = np.arange(old + 1) != label
    head = Head(trial.head.weight[keep], trial.head.bias[keep])
    renamed = np.cumsum(keep) - 1
    renamed[label] = old
    own = trial.own[trial.own_labels == label]
    own_labels = np.full(len(own), old)
    learner: Learner
    if isinstance(trial.train, Moments):
        learner, epochs = AnalyticLearner(trial.train.without(label), own, own_labels, old + 1), 1
    else:
        features, labels = trial.train
        general = labels != label
        together = np.concatenate([features[general], own])
        together_labels = np.concatenate([renamed[labels[general]], own_labels])
        learner = HeadLearner(together, together_labels, head, old + 1, randomness=random)
    for epoch in range(epochs):
        learner.epoch(epoch)
    half = np.arange(len(trial.guard)) % 2 == 0
    guard = trial.guard[half & (trial.guard_labels != label)]
    made = calibrated(learner.learned().head, old, guard, target, normal=isinstance(trial.train, Moments))
    return counts(made, old, trial.guard[~half], renamed[trial.guard_labels[~half]])
