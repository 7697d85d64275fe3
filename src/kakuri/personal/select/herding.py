"""Herding: the mean of the chosen follows the mean of the class as closely as it can, sample by sample.

Source: M. Welling, Herding Dynamical Weights to Learn, ICML 2009; used for replay in iCaRL (Rebuffi et al., CVPR 2017),
algorithm 4.
"""

from __future__ import annotations

import numpy as np

from kakuri.personal.select.candidates import Candidates, Int64, per_class


def herding(candidates: Candidates, count: int, generator: np.random.Generator) -> Int64:
    features = candidates.features.astype(np.float64)

    def rank(members: Int64, wanted: int) -> Int64:
        own = features[members]
        mean, chosen_sum = own.mean(axis=0), np.zeros(own.shape[1])
        left = np.ones(len(members), dtype=bool)
        order = []
        for step in range(1, wanted + 1):
            distance = np.linalg.norm(mean - (chosen_sum + own) / step, axis=1)
            distance[~left] = np.inf
            best = int(distance.argmin())
            left[best] = False
            chosen_sum += own[best]
            order.append(members[best])
        return np.array(order, dtype=np.int64)

    return per_class(candidates, count, rank)
