"""What every way of learning offers to the loop that drives it.

Purpose: one epoch at a time, with a state that can be written down between any two of them.
Guarantees (asked of every implementation): ``restore(state())`` in a fresh process, then the remaining epochs, gives
bit for bit what an uninterrupted run gives on the same machine; randomness depends on seed and epoch number alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kakuri.personal.linear import Head

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Learned:
    """head: old classes first, new ones behind. weights: changed weights of the trunk by their name in the model."""

    head: Head
    weights: Mapping[str, Float32]


class Learner(Protocol):
    """A model in the making."""

    def epoch(self, index: int) -> float:
        """Trains epoch ``index`` (from 0) and returns its mean loss."""
        ...

    def state(self) -> dict[str, NDArray[Any]]: ...

    def restore(self, state: State) -> None: ...

    def learned(self) -> Learned: ...


def balanced_batches(labels: Int64, batch: int, generator: np.random.Generator) -> list[Int64]:
    """Indices for one epoch: every class of ``labels`` is equally likely in every place, however many samples it has.

    As many draws as there are samples, in batches; drawn with replacement.
    """
    present, counts = np.unique(labels, return_counts=True)
    members = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    picks = generator.integers(0, len(present), len(labels))
    within = (generator.random(len(labels)) * counts[picks]).astype(np.int64)
    order = members[starts[picks] + within]
    return [order[at : at + batch] for at in range(0, len(order), batch)]


def with_new_rows(head: Head, features: Float32, labels: Int64, classes: int) -> Head:
    """``head`` grown to ``classes`` rows; a new row points from all features' mean to its class's, as long as old rows.

    features, labels: what there is to train on. A bias starts so that the mean of old scores is met half way.
    """
    old = len(head.weight)
    weight = np.zeros((classes, head.weight.shape[1]), np.float32)
    bias = np.full(classes, head.bias.mean() if old else 0.0, np.float32)
    weight[:old], bias[:old] = head.weight, head.bias
    length = float(np.linalg.norm(head.weight, axis=1).mean()) if old else 1.0
    middle = features.mean(axis=0)
    for label in range(old, classes):
        own = features[labels == label]
        direction = own.mean(axis=0) - middle if len(own) else middle
        weight[label] = direction * np.float32(length / max(float(np.linalg.norm(direction)), 1e-6))
    return Head(weight, bias)
