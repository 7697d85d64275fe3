"""Baby steps and giant steps: shift = giant + baby, so that few rotations reach many diagonals.

Purpose: choose the split of one transform by cost. A baby step rotates an input (hoisted), a giant step an output.
Guarantees: giant + baby = shift (mod slots) for every diagonal.
Source: Halevi, Shoup (CRYPTO 2018), section 4; the split is by remainder with a free modulus and centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kakuri.encrypted.multiplexed.layout import IntArray


@dataclass(frozen=True)
class Split:
    """baby, giant: (diagonals,) steps in 0 ... slots - 1. babies, giants: rotations they need."""

    baby: IntArray
    giant: IntArray
    babies: int
    giants: int


def split(
    outputs: IntArray,
    inputs: IntArray,
    shifts: IntArray,
    slots: int,
    *,
    strides: Sequence[int],
    prices: tuple[float, float],
) -> Split:
    """The cheapest split found. strides: distances that mean something in the layouts (planes, rows). prices: of a
    baby and of a giant step."""
    best: Split | None = None
    for modulus in _moduli(slots, strides):
        for centre in dict.fromkeys((0, *(s for s in (modulus // 4, modulus // 2) if s))):
            baby = (shifts + centre) % modulus - centre
            giant = (shifts - baby) % slots
            baby = baby % slots
            babies = _distinct(inputs, baby, slots)
            giants = _distinct(outputs, giant, slots)
            if best is None or _price(babies, giants, prices) < _price(best.babies, best.giants, prices):
                best = Split(baby, giant, babies, giants)
    assert best is not None
    return best


def _price(babies: int, giants: int, prices: tuple[float, float]) -> float:
    return babies * prices[0] + giants * prices[1]


def _distinct(index: IntArray, steps: IntArray, slots: int) -> int:
    moved = steps != 0
    return len(np.unique(index[moved] * slots + steps[moved]))


_TIMES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)


def _moduli(slots: int, strides: Sequence[int]) -> list[int]:
    powers = [1 << k for k in range(slots.bit_length())]
    multiples = [n * stride for stride in strides for n in _TIMES if n * stride <= slots]
    return sorted({*powers, *multiples}, reverse=True)
