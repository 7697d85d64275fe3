"""The weights in the order and form in which the kernels read them: one blob for all instruction sets of a binary.

Guarantees: equal arrays are stored once; every array starts at a multiple of 64 bytes; 256 bytes of zeros at the end,
so that a vector load of the last array stays inside; equal inputs give equal bytes.
Does not guarantee: secrecy; this is a layout.

Panels of a matrix (K, N): 32 columns each, row after row; the last one is as wide as its columns, rounded up to 8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
        self._arrays: dict[Storage, bytes] = {}
        self._known: dict[bytes, Storage] = {}

    def add(self, array: NDArray[Any]) -> View:
        """A view of ``array`` of a type that programs have in the blob."""
        data = np.ascontiguousarray(array)
        element = ELEMENTS[data.dtype.name]
        raw = data.astype(data.dtype.newbyteorder("<")).tobytes()
        key = hashlib.sha256(element.name.encode() + raw).digest()
        if key not in self._known:
            storage = Storage(Kind.WEIGHTS, element, data.size, offset_bytes=aligned(self._size_bytes))
            self._known[key], self._arrays[storage] = storage, raw
        return View(self._known[key], 0, data.shape, row_major(data.shape))

    def content(self, storage: Storage) -> NDArray[Any]:
        """The flat array that lies in ``storage``."""
        return np.frombuffer(self._arrays[storage], storage.element.name)

    def arrange(self, order: Sequence[int]) -> None:
        """Lay the arrays out anew: ``order[i]`` is which of them, counted as they were added, comes at place i."""
        arrays = list(self._arrays.items())
        self._arrays = {}
        for index in order:
            storage, raw = arrays[index]
            storage.offset_bytes = aligned(self._size_bytes)
            self._arrays[storage] = raw

    def __len__(self) -> int:
        """How many arrays there are."""
        return len(self._arrays)

    @property
    def _size_bytes(self) -> int:
        last = next(reversed(self._arrays), None)
        return 0 if last is None else last.offset_bytes + last.size_bytes

    def blob(self) -> bytes:
        parts = [raw + bytes(-len(raw) % ALIGN_BYTES) for raw in self._arrays.values()]
        return b"".join(parts) + bytes(SLACK_BYTES)


def aligned(size_bytes: int) -> int:
    """The next multiple of what arrays start at."""
    return -(-size_bytes // ALIGN_BYTES) * ALIGN_BYTES


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


def columns_of(flat: NDArray[Any], rows: int, columns: int, each: int = 1) -> NDArray[Any]:
    """The matrix (rows, columns, each) behind a flat array of panels; each: neighbours that stay together."""
    parts, at = [], 0
    for start in range(0, columns, PANEL):
        wanted = min(PANEL, columns - start)
        width = -(-wanted // ROUND) * ROUND
        size = rows * width * each
        parts.append(flat[at : at + size].reshape(rows, width, each)[:, :wanted])
        at += size
    return np.concatenate(parts, axis=1)
