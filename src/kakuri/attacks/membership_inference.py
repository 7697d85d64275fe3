"""Was this sample trained on? From how sure the network is, and from how its loss would bend.

Purpose: guess membership of each sample whose label the adversary knows; half of the answers are known to it.
Guarantees: as many members as others are asked about, so that chance is one half.
Does not guarantee: what an adversary with shadow models of the same training could get beyond this.
Source: Yeom et al. 2018 (loss); Nasr, Shokri, Houmansadr 2019 (gradients).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.ridge import fits
from kakuri.attacks.statistics import Accuracy
from kakuri.attacks.target import Question, Target


def confidence(scores: Float64, labels: NDArray[np.int64]) -> Float64:
    """(n, 5): loss at the true label, its probability, the largest one, the margin, the entropy."""
    p = np.clip(scores, 1e-12, 1.0)
    own = p[np.arange(len(p)), labels]
    ordered = np.sort(p, axis=1)
    entropy = -np.sum(p * np.log(p), axis=1)
    return np.stack([-np.log(own), own, ordered[:, -1], ordered[:, -1] - ordered[:, -2], entropy], axis=1)


def bending(gradients: Float64) -> Float64:
    """(n, 3): norm, largest entry and mean size of each sample's gradient (n, k), as logarithms."""
    sizes = np.abs(gradients)
    parts = [np.linalg.norm(gradients, axis=1), sizes.max(axis=1), sizes.mean(axis=1)]
    return np.asarray(np.log(np.maximum(np.stack(parts, axis=1), 1e-12)), np.float64)


class MembershipInference(Attack):
    """truth: ``member`` (n,), 0 or 1; ``white_box`` (n, k), what can be seen with the whole network open."""

    name = "membership_inference"
    recovers = "whether a sample was trained on"
    needs = ("member", "white_box")
    must_reach = 0.65
    metric = Accuracy()

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        rows, member = target.distinct(), target.truth["member"]
        groups = [random.permutation(rows[member[rows] == kind]) for kind in (0, 1)]
        chosen = np.sort(np.concatenate([group[: min(map(len, groups))] for group in groups]))
        return chosen[:, None], member[chosen].astype(np.float64)

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        features = np.concatenate(list(question.numbers.values()), axis=1)
        known, asked = features[question.known[:, 0]], features[question.asked[:, 0]]
        mean, scale = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-9)
        known, asked = ((np.clip((part - mean) / scale, -8, 8)) for part in (known, asked))
        wanted = 2.0 * question.known_answers[:, None] - 1.0
        best = min(fits(known, wanted), key=lambda fit: float(np.mean(np.sign(fit.left_out) != wanted)))
        return (best.predict(asked)[:, 0] > 0).astype(np.float64), {"features": features.shape[1]}

    def why_not(self, target: Target) -> str:
        return super().why_not(target) or ("" if target.numbers else "the target has no side channels to learn from")

    def plaintext(self, target: Target) -> Target:
        return replace(target, views={}, plain={}, numbers={"white box": np.asarray(target.truth["white_box"])})

    def planted(self, random: np.random.Generator) -> Target:
        """A network that is surer of what it was trained on."""
        member = np.arange(400) % 2
        sure = 1.0 / (1.0 + np.exp(-random.normal(1.0 + 3.0 * member, 1.0)))
        features = confidence(np.stack([sure, 1.0 - sure], axis=1), np.zeros(400, np.int64))
        truth = {"member": member, "white_box": features}
        return Target("planted overfitted network", {}, truth, numbers={"confidence": features})
