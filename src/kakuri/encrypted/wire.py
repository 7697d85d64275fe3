"""Where the elements of a query's or an answer's tensor stand in ciphertexts.

Purpose: the client packs and unpacks by these tables and knows nothing else of packings. An element may stand in
several places (copies cost the server nothing) or, in an input, in none when the network never reads it.
Guarantees: ``from_dict`` allocates no more than ``MAX_PLACES`` asks for and refuses tables that leave their bounds.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
MAX_CIPHERTEXTS = 1 << 16
MAX_PLACES = 1 << 22


@dataclass(frozen=True, eq=False)
class WireLayout:
    """shape: of one sample. ciphertext, slot, element: (places,) int64; element is row-major in ``shape``. With
    ``batched`` the slot is that of the first sample and sample b stands b slots further; otherwise there is one
    sample."""

    shape: tuple[int, ...]
    ciphertexts: int
    ciphertext: IntArray
    slot: IntArray
    element: IntArray
    batched: bool

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WireLayout) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.shape, self.ciphertexts, self.batched, self.slot.tobytes()))

    def pack(self, samples: NDArray[np.float64], slots: int) -> NDArray[np.float64]:
        """samples: (b, *shape) to (ciphertexts, slots)."""
        packed = np.zeros((self.ciphertexts, slots))
        flat = samples.reshape(len(samples), -1)
        for b in range(len(samples)):
            packed[self.ciphertext, self.slot + (b if self.batched else 0)] = flat[b, self.element]
        return packed

    @cached_property
    def _first(self) -> IntArray:
        """The first place of every element."""
        return np.unique(self.element, return_index=True)[1]

    def unpack(self, packed: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
        """packed: (ciphertexts, slots) to (samples, *shape)."""
        ciphertext, slot = self.ciphertext[self._first], self.slot[self._first]
        rows = [packed[ciphertext, slot + (b if self.batched else 0)] for b in range(samples)]
        return np.stack(rows).reshape(samples, *self.shape)

    def to_dict(self) -> dict[str, Any]:
        """places: base64 of the deflated little-endian int32 differences of (ciphertext, slot, element)."""
        table = np.stack([self.ciphertext, self.slot, self.element])
        steps = np.diff(table, axis=1, prepend=0).astype("<i4")
        places = base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode("ascii")
        return {
            "shape": list(self.shape),
            "ciphertexts": self.ciphertexts,
            "count": int(table.shape[1]),
            "places": places,
            "batched": self.batched,
        }

    @classmethod
    def from_dict(cls, data: Any, slots: int, *, every_element: bool) -> WireLayout:
        """Raises ValueError, TypeError or KeyError for anything else. every_element: each needs a place."""
        shape = tuple(int(d) for d in data["shape"])
        ciphertexts, count = int(data["ciphertexts"]), int(data["count"])
        if not (1 <= len(shape) <= 3 and min(shape) >= 1 and 1 <= ciphertexts <= MAX_CIPHERTEXTS):
            raise ValueError("shape")
        if not 1 <= count <= MAX_PLACES:
            raise ValueError("count")
        ciphertext, slot, element = np.cumsum(_inflate(data["places"], 12 * count).reshape(3, count), axis=1)
        elements = math.prod(shape)
        inside = (
            ciphertext.min() >= 0
            and ciphertext.max() < ciphertexts
            and slot.min() >= 0
            and slot.max() < slots
            and element.min() >= 0
            and element.max() < elements
        )
        if not inside or (every_element and len(np.unique(element)) != elements):
            raise ValueError("places")
        return cls(shape, ciphertexts, ciphertext, slot, element, bool(data["batched"]))


def _inflate(text: str, size: int) -> IntArray:
    """Exactly ``size`` bytes of int32, never more."""
    try:
        stream = zlib.decompressobj()
        raw = stream.decompress(base64.b64decode(text, validate=True), size + 1)
    except (zlib.error, binascii.Error) as error:
        raise ValueError("places") from error
    if len(raw) != size or stream.unconsumed_tail or not stream.eof:
        raise ValueError("places")
    return np.frombuffer(raw, dtype="<i4").astype(np.int64)
