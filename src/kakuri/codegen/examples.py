"""Inputs when there are none: for checks, benchmarks and attacks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.program import Program


def random_inputs(program: Program, random: np.random.Generator) -> list[NDArray[Any]]:
    """One array per input: standard normal numbers, or every level of an integer type alike."""
    return [_random(random, view.element.name, view.shape) for view in program.inputs]


def _random(random: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if dtype == "float32":
        return random.standard_normal(shape).astype(np.float32)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, np.dtype(dtype), endpoint=True)
