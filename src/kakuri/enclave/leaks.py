"""What a view of a partitioned network leaks: the targets that the advisor's attacks are run on.

Purpose: ``LeakBench`` turns a network and samples into the three views (answers alone, a cut, the whole network).
Guarantees: every attack gets what that view's adversary has and no more; all views are split alike, so that their
values can be compared; answers are the network's own, computed once.
Does not guarantee: shadow models or data beyond the samples given.
Errors: KK-W40 a network or labels that these attacks cannot take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.attacks import Attack, Budget, Estimate, Spending, Target, surrogate
from kakuri.attacks.membership_inference import MembershipInference, bending, confidence
from kakuri.attacks.pixels_from_bytes import PixelsFromBytes
from kakuri.attacks.surrogate_stealing import SurrogateStealing
from kakuri.attacks.target import pose
from kakuri.enclave.session import OuterNetwork
from kakuri.errors import KakuriError
from kakuri.model.passes import Partition
from kakuri.strict_json import Json
from kakuri.trust.entropy import SeededRandomness

ATTACKS: Mapping[str, Attack] = {
    "stealing": SurrogateStealing(),
    "membership": MembershipInference(),
    "reconstruction": PixelsFromBytes(),
}
BUDGET = Budget(seconds=60.0)


@dataclass(frozen=True)
class Samples:
    """images (n, ...) as the network takes them, labels (n,)."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Leaks:
    """One view of the network. stolen_accuracy: of the surrogate on the true labels; fidelity is ``stealing``."""

    view: str
    values: Mapping[str, Estimate]
    stolen_accuracy: float

    def to_dict(self) -> dict[str, Json]:
        found: dict[str, Json] = {name: dict(value.to_dict()) for name, value in self.values.items()}
        return {"view": self.view, **found, "stolen_accuracy": self.stolen_accuracy}


class LeakBench:
    """Samples, the network's answers to them, and the three targets that a view becomes."""

    def __init__(
        self, net: ir.Model, members: Samples, others: Samples, queries: int, randomness: SeededRandomness
    ) -> None:
        self._randomness, self._queries = randomness, queries
        whole = OuterNetwork(net)
        if len(whole.inputs) != 1 or len(net.graph.outputs) != 1:
            raise KakuriError("KK-W40", "the advisor takes classifiers with one input and one output")
        self.input, self.output = next(iter(whole.inputs)), net.graph.outputs[0].name or ""
        count = min(len(members.images), len(others.images))
        self.others, self.other_labels = others.images, others.labels
        self.both = np.concatenate([members.images[:count], others.images[:count]])
        self.labels = np.concatenate([members.labels[:count], others.labels[:count]])
        self.member = np.repeat([1, 0], count)
        self.scores = _probabilities(self._flat(whole.run({self.input: self.both})[self.output]))
        self.other_scores = _probabilities(self._flat(whole.run({self.input: self.others})[self.output]))
        if len(self.scores[0]) <= int(self.labels.max()):
            raise KakuriError("KK-W40", "labels that the network has no score for", got=int(self.labels.max()))

    @staticmethod
    def _flat(values: NDArray[Any]) -> NDArray[np.float64]:
        return values.reshape(len(values), -1).astype(np.float64)

    def boundary(self, cut: Partition, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """What enters the inner layers, one row per image."""
        known: dict[str, NDArray[Any]] = {self.input: images}
        if cut.before is not None:
            known |= OuterNetwork(cut.before).run(known)
        return np.concatenate([self._flat(known[value.name or ""]) for value in cut.entering], axis=1)

    def answers_alone(self) -> Leaks:
        """Black-box: inputs of the thief's own choice and the network's answers to them."""
        return self._leaks("answers alone", self._flat(self.others), self._flat(self.both), self.other_scores)

    def exposed(self, cut: Partition) -> Leaks:
        """The outer layers open: the boundary's values can be computed for any input."""
        others, both = (self.boundary(cut, images) for images in (self.others, self.both))
        return self._leaks(f"layers {cut.first}:{cut.last}", others, both, others)

    def whole_network(self, last_weighted: Partition) -> Leaks:
        """White-box: the scores themselves, the last weighted layer's exact gradient, and the input."""
        error = self.scores - np.eye(self.scores.shape[1])[self.labels]
        hidden = np.linalg.norm(self.boundary(last_weighted, self.both), axis=1, keepdims=True)
        gradient = np.linalg.norm(error, axis=1, keepdims=True) * hidden
        values = {
            "stealing": self._run("stealing", self._stealing(self.other_scores)),
            "membership": self._run("membership", self._membership(np.concatenate([gradient, error], axis=1))),
            "reconstruction": self._run("reconstruction", self._reconstruction(self._flat(self.others))),
        }
        rest = slice(self._queries, None)
        right = self.other_scores[rest].argmax(axis=1) == self.other_labels[rest]
        return Leaks("whole network", values, float(np.mean(right)))

    def _leaks(
        self,
        view: str,
        others: NDArray[np.float64],
        both: NDArray[np.float64],
        boundary: NDArray[np.float64],
    ) -> Leaks:
        """others, both: what the thief computes for each sample. boundary: what a bystander sees."""
        thief = surrogate.fit(
            others[: self._queries],
            self.other_scores[: self._queries],
            self._randomness.child("thief").generator(),
        )
        rest = slice(self._queries, None)
        right = thief.predict(others[rest]).argmax(axis=1) == self.other_labels[rest]
        values = {
            "stealing": self._run("stealing", self._stealing(others)),
            "membership": self._run("membership", self._membership(thief.gradient(both, self.labels))),
            "reconstruction": self._run("reconstruction", self._reconstruction(boundary)),
        }
        return Leaks(view, values, float(np.mean(right)))

    def _run(self, name: str, target: Target) -> Estimate:
        """One attack on one view; every view is split alike, so that views can be compared."""
        attack = ATTACKS[name]
        choose, split, learn, judge = self._randomness.child(name).generator().spawn(4)
        question, truth = pose(target, *attack.cases(target, choose), split)
        guesses, _ = attack.guess(question, Spending(BUDGET), learn)
        return attack.metric.estimate(guesses, truth, judge)

    def _stealing(self, seen: NDArray[np.float64]) -> Target:
        """Twice as many samples as queries: half of them are the thief's."""
        rows = slice(0, 2 * self._queries)
        scores = self.other_scores[rows]
        return Target(
            "partition", {}, {"answered": scores.argmax(axis=1), "scores": scores}, numbers={"seen": seen[rows]}
        )

    def _membership(self, gradient: NDArray[np.float64]) -> Target:
        numbers = {"confidence": confidence(self.scores, self.labels), "gradient": bending(gradient)}
        truth = {"member": self.member, "white_box": np.concatenate(list(numbers.values()), axis=1)}
        return Target("partition", {}, truth, numbers=numbers)

    def _reconstruction(self, seen: NDArray[np.float64]) -> Target:
        rows = slice(0, 2 * self._queries)
        return Target("partition", {}, {"image": self.others[rows]}, numbers={"seen": seen[rows]})


def _probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """scores (n, classes) as they are where each row is a distribution, else their softmax."""
    if scores.min() >= 0.0 and np.allclose(scores.sum(axis=1), 1.0, atol=1e-3):
        return scores
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)
