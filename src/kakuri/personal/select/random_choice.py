"""Every sample is equally likely: the document's hand-off of a share of the data (S2, 3.3)."""

from __future__ import annotations

import numpy as np

from kakuri.personal.select.candidates import Candidates, Int64


def random_choice(candidates: Candidates, count: int, generator: np.random.Generator) -> Int64:
    return generator.permutation(len(candidates))[:count].astype(np.int64)
