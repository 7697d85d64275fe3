"""The samples of each class that the model finds hardest, by cross-entropy."""

from __future__ import annotations

import numpy as np

from kakuri.personal.select.candidates import Candidates, Int64, per_class


def loss_based(candidates: Candidates, count: int, generator: np.random.Generator) -> Int64:
    missing = -candidates.residuals()[np.arange(len(candidates)), candidates.labels]  # 1 - probability of the label
    return per_class(
        candidates, count, lambda members, wanted: members[np.argsort(-missing[members], kind="stable")][:wanted]
    )
