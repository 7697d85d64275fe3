"""The weights in the order and form in which the kernels read them: one blob for all instruction sets of a binary.

Guarantees: equal arrays are stored once; every array starts at a multiple of 64 bytes; 256 bytes of zeros at the end,
so that a vector load of the last array stays inside; equal inputs give equal bytes.
Does not guarantee: secrecy; this is a layout.

Panels of a matrix (K, N): 32 columns each, row after row; the last one is as wide as its columns, rounded up to 8.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.views import ELEMENTS, Kind, Storage, View, row_major

PANEL = 32
ROUND = 8
ALIGN_BYTES = 64
SLACK_BYTES = 256


class Weights:
    """Grows while a network is lowered."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._known: dict[bytes, int] = {}

    def add(self, array: NDArray[Any]) -> View:
        """A view of ``array`` of a type that programs have in the blob."""
        data = np.ascontiguousarray(array)
        element = ELEMENTS[data.dtype.name]
        raw = data.astype(data.dtype.newbyteorder("<")).tobytes()
        key = hashlib.sha256(element.name.encode() + raw).digest()
        if key not in self._known:
            gap = -self._size_bytes % ALIGN_BYTES
            self._parts += [bytes(gap), raw]
            self._known[key] = self._size_bytes + gap
            self._size_bytes += gap + len(raw)
        offset = self._known[key] // element.size_bytes
        return View(Storage(Kind.WEIGHTS, element, data.size), offset, data.shape, row_major(data.shape))

    def blob(self) -> bytes:
        return b"".join(self._parts) + bytes(SLACK_BYTES + -self._size_bytes % ALIGN_BYTES)


def panels(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """``matrix`` (K, N) as a flat array in the module head's layout."""
    rows, columns = matrix.shape
    parts = []
    for start in range(0, columns, PANEL):
        part = matrix[:, start : start + PANEL]
        width = -(-part.shape[1] // ROUND) * ROUND
        padded = np.zeros((rows, width), np.float32)
        padded[:, : part.shape[1]] = part
        parts.append(padded.reshape(-1))
    return np.concatenate(parts)
