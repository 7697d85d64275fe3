"""Greedy k-centre within each class: always the sample farthest from those chosen already.

Source: T. F. Gonzalez, Clustering to minimize the maximum intercluster distance, TCS 1985 (a 2-approximation); as a
coreset for training in Sener and Savarese, ICLR 2018.
"""

from __future__ import annotations

import numpy as np

from kakuri.personal.select.candidates import Candidates, Int64, per_class


def k_centre(candidates: Candidates, count: int, generator: np.random.Generator) -> Int64:
    features = candidates.features.astype(np.float64)

    def rank(members: Int64, wanted: int) -> Int64:
        own = features[members]
        first = int(np.linalg.norm(own - own.mean(axis=0), axis=1).argmin())  # the class's centre
        order = [first]
        nearest = np.linalg.norm(own - own[first], axis=1)
        nearest[first] = -1.0
        while len(order) < wanted:
            farthest = int(nearest.argmax())
            order.append(farthest)
            nearest = np.minimum(nearest, np.linalg.norm(own - own[farthest], axis=1))
            nearest[order] = -1.0
        return members[np.array(order[:wanted], dtype=np.int64)]

    return per_class(candidates, count, rank)
