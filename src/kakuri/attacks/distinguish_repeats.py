"""Tell whether two recordings carry the same picture.

Purpose: encryption without fresh randomness shows repeats, and repeats build dictionaries.
Guarantees: same and different pairs are equally many, so that chance is one half; known pairs teach a classifier how
alike two messages of the same plaintext are, asked pairs score it.
Does not guarantee: anything about linking a client's queries by network address or time.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks import planted
from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.features import standardise
from kakuri.attacks.ridge import Fit, fits
from kakuri.attacks.statistics import Accuracy
from kakuri.attacks.target import Question, Target

_WINDOW_BYTES = 16
_WINDOWED_BYTES = 4096


class DistinguishRepeats(Attack):
    name = "distinguish_repeats"
    recovers = "whether two messages carry the same picture"
    needs: ClassVar[tuple[str, ...]] = ("group", "image")
    must_reach = 0.95
    metric = Accuracy()
    reads_messages = True

    def why_not(self, target: Target) -> str:
        reason = super().why_not(target)
        if reason or len(_repeats(target.truth["group"])):
            return reason
        return "no plaintext was sent twice"

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        same = _repeats(target.truth["group"])
        groups = target.truth["group"]
        partners = same[:, 1].copy()
        for _ in range(100):  # shuffle second halves until no pair is a repeat; a few groups make this quick
            clash = groups[same[:, 0]] == groups[partners]
            if not clash.any():
                break
            partners[clash] = random.choice(same[:, 1], int(clash.sum()))
        other = np.stack([same[:, 0], partners], axis=1)
        other = other[groups[other[:, 0]] != groups[other[:, 1]]]
        same = same[: len(other)]
        answers = np.concatenate([np.ones(len(same)), np.zeros(len(other))])
        return np.concatenate([same, other]), answers

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        known = np.array([_likeness(question, pair) for pair in question.known])
        asked = np.array([_likeness(question, pair) for pair in question.asked])
        signs = 2.0 * question.known_answers[:, None] - 1.0

        def error(fit: Fit) -> float:
            return float(np.mean((fit.left_out > 0) != (signs > 0))) + 1e-3 * float(
                np.mean(np.square(fit.left_out - signs))
            )

        best = min(fits(standardise(known, known), signs), key=error)
        scores = best.predict(standardise(asked, known))[:, 0]
        identical = float(np.mean(asked[:, 0][scores > 0])) if (scores > 0).any() else 0.0
        return (scores > 0).astype(np.float64), {"called_same_and_identical": identical}

    def plaintext(self, target: Target) -> Target:
        return planted.sent_as_float32(target)

    def planted(self, random: np.random.Generator) -> Target:
        images, labels = planted.glyphs(60, random)
        images, labels = np.repeat(images, 2, axis=0), np.repeat(labels, 2)
        truth = {"image": images, "label": labels, "group": np.repeat(np.arange(60), 2)}
        return Target("planted plaintext server with repeats", {"query": planted.as_float32(images)}, truth)


def _repeats(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """(pairs, 2): the first two samples of every group that has two."""
    order = np.argsort(groups, kind="stable")
    values, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    twice = starts[counts >= 2]
    return np.stack([order[twice], order[twice + 1]], axis=1).astype(np.int64) if len(values) else np.zeros((0, 2), int)


def _likeness(question: Question, pair: NDArray[np.int64]) -> list[float]:
    """Per view: identical, equal length, equal bytes, equal bits, equal 8-byte words, shared windows, correlation."""
    result: list[float] = []
    for messages in question.views.values():
        first, second = (b"".join(messages[index]) for index in pair)
        length = min(len(first), len(second))
        a, b = np.frombuffer(first, np.uint8, length), np.frombuffer(second, np.uint8, length)
        words = [np.frombuffer(data, "<u8", length // 8) for data in (first, second)]
        result += [
            float(first == second),
            float(len(first) == len(second)),
            _mean(a == b),
            1.0 - _mean(np.unpackbits(a ^ b)),
            _mean(words[0] == words[1]),
            _shared_windows(first, second),
            _correlation(a, b),
        ]
    return result


def _shared_windows(first: bytes, second: bytes) -> float:
    """Share of 16-byte windows in the head of one message that stand anywhere in the head of the other."""
    heads = [data[:_WINDOWED_BYTES] for data in (first, second)]
    windows = [{data[at : at + _WINDOW_BYTES] for at in range(len(data) - _WINDOW_BYTES + 1)} for data in heads]
    return len(windows[0] & windows[1]) / max(1, len(windows[0]))


def _mean(values: NDArray[np.bool_] | NDArray[np.uint8]) -> float:
    return float(np.mean(values)) if values.size else 0.0


def _correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    if not a.size:
        return 0.0
    x, y = a.astype(np.float32) - np.float32(a.mean()), b.astype(np.float32) - np.float32(b.mean())
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norm if norm > 0 else 0.0
