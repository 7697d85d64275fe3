"""What a selection strategy may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """features: (n, d) of the trunk. labels: (n,). scores: (n, K) of the model's head."""

    features: NDArray[np.float32]
    labels: Int64
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    def residuals(self) -> NDArray[np.float64]:
        """(n, K): softmax minus one-hot, the gradient of the cross-entropy by the scores."""
        shifted = self.scores.astype(np.float64) - self.scores.max(axis=1, keepdims=True)
        shares = np.exp(shifted)
        shares /= shares.sum(axis=1, keepdims=True)
        shares[np.arange(len(self)), self.labels] -= 1
        return np.asarray(shares)


Strategy: TypeAlias = Callable[[Candidates, int, np.random.Generator], Int64]


def quotas(labels: Int64, count: int) -> dict[int, int]:
    """Label -> how many of its samples to take: as even as the classes' sizes allow; the sum is ``count``."""
    sizes = {int(label): int((labels == label).sum()) for label in np.unique(labels)}
    taken = dict.fromkeys(sizes, 0)
    left = min(count, len(labels))
    while left:
        open_labels = [label for label in sizes if taken[label] < sizes[label]]
        share = max(1, left // len(open_labels))
        for label in open_labels:
            more = min(share, sizes[label] - taken[label], left)
            taken[label] += more
            left -= more
    return taken


def per_class(candidates: Candidates, count: int, rank: Callable[[Int64, int], Int64]) -> Int64:
    """Fills every class's quota by ``rank(members, wanted)`` and lets the classes take turns in the result."""
    wanted = quotas(candidates.labels, count)
    chosen = [rank(np.flatnonzero(candidates.labels == label), number) for label, number in wanted.items() if number]
    longest = max((len(part) for part in chosen), default=0)
    order = [int(part[turn]) for turn in range(longest) for part in chosen if turn < len(part)]
    return np.array(order, dtype=np.int64)
