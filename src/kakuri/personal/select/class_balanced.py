"""Random, but as many of each class as the classes' sizes allow."""

from __future__ import annotations

import numpy as np

from kakuri.personal.select.candidates import Candidates, Int64, per_class


def class_balanced(candidates: Candidates, count: int, generator: np.random.Generator) -> Int64:
    return per_class(candidates, count, lambda members, wanted: generator.permutation(members)[:wanted])
