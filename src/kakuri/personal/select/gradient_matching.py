"""Gradient matching: the chosen samples' gradients sum up to the class's, by orthogonal matching pursuit.

The gradient is that of the last layer alone, softmax minus one-hot times the features; its inner products factor into
two small matrices, so that no (n, K d) array is made.
Source: Killamsetty et al., GRAD-MATCH, ICML 2021 (per class, last layer); its weights are dropped.
"""

from __future__ import annotations

import numpy as np

from kakuri.personal.select.candidates import Candidates, Int64, per_class

_RIDGE = 1e-6


def gradient_matching(candidates: Candidates, count: int, generator: np.random.Generator) -> Int64:
    residuals, features = candidates.residuals(), candidates.features.astype(np.float64)

    def rank(members: Int64, wanted: int) -> Int64:
        gram = (residuals[members] @ residuals[members].T) * (features[members] @ features[members].T)
        target = gram.sum(axis=1)  # inner products with the class's whole gradient
        left = np.ones(len(members), dtype=bool)
        order: list[int] = []
        match = target.copy()
        for _ in range(wanted):
            match[~left] = -np.inf
            best = int(match.argmax())
            left[best] = False
            order.append(best)
            own = gram[np.ix_(order, order)]
            own = own + _RIDGE * (np.trace(own) / len(order) + _RIDGE) * np.eye(len(order))
            weights = np.linalg.solve(own, target[order])
            match = target - gram[:, order] @ weights
        return members[np.array(order, dtype=np.int64)]

    return per_class(candidates, count, rank)
