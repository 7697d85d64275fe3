"""What of a layer's weights is beyond 8 bits: few taps, multiplied once more (``runtime/dot.h``).

The array, int32: for each panel of columns where its taps begin, then where the last one's end; then the taps, each 33
numbers: where its four bytes lie from a pixel's first one, and 32 columns of four weights.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.kernels.integer.signed import Int64
from kakuri.codegen.weights import PANEL

QUAD = 4
_RECORD = 1 + PANEL
#: Where four neighbouring taps lie, and their weights: int8 (columns, 4), zero where there is nothing to add.
Taps = tuple[int, NDArray[np.int8]]


def taps_of(sets: Iterable[Int64], offsets: NDArray[np.int64]) -> list[Taps]:
    """sets: (segments, taps, columns) in 8 bits each. offsets: (segments,), from a pixel's first byte."""
    found = []
    for part in sets:
        segments, length, columns = part.shape
        filled = np.zeros((segments, -(-length // QUAD), QUAD, columns), np.int8)
        filled.reshape(segments, -1, columns)[:, :length] = part
        for segment, quad in zip(*np.nonzero(filled.any(axis=(2, 3))), strict=True):
            found.append((int(offsets[segment]) + QUAD * int(quad), filled[segment, quad].T))
    return found


def rest_array(taps: Iterable[Taps], columns: int) -> NDArray[np.int32]:
    """The array of a layer of so many columns."""
    listed = list(taps)
    starts: list[int] = []
    records: list[NDArray[np.int32]] = []
    for first in range(0, columns, PANEL):
        starts.append(len(records))
        for offset, weights in listed:
            own = np.zeros((PANEL, QUAD), np.int8)
            part = weights[first : first + PANEL]
            own[: len(part)] = part
            if own.any():
                records.append(np.concatenate([np.array([offset], "<i4"), own.reshape(-1).view("<i4")]))
    head = len(starts) + 1
    begins = head + _RECORD * np.array([*starts, len(records)])
    return np.concatenate([begins, *records]).astype(np.int32)


def taps_in(array: NDArray[np.int32], columns: int) -> list[Taps]:
    """What ``rest_array`` was made of."""
    found = []
    for panel, first in enumerate(range(0, columns, PANEL)):
        for at in range(array[panel], array[panel + 1], _RECORD):
            weights = np.zeros((-(-columns // PANEL) * PANEL, QUAD), np.int8)
            weights[first : first + PANEL] = array[at + 1 : at + _RECORD].astype("<i4").view(np.int8).reshape(-1, QUAD)
            found.append((int(array[at]), weights[:columns]))
    return found
