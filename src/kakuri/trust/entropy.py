"""Two kinds of randomness that cannot be mistaken for each other.

Purpose: ``SeededRandomness`` for experiments (anyone with the seed repeats them), ``SystemEntropy`` for keys and masks.
Guarantees: the two types are unrelated, so a type checker refuses the first where the second is due, and
``require_system_entropy`` refuses it at run time. A seeded stream depends on its seed and label only, not on what was
drawn before from other labels.
Does not guarantee: that a ``numpy.random.Generator`` method gives the same numbers in every numpy release (bit streams
do).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import final

import numpy as np

from kakuri.errors import KakuriError

_MAX_DRAW_BYTES = 1 << 30


class RandomnessKindError(KakuriError, TypeError):
    """KK-K29: seeded randomness was passed where the operating system's is due."""


@final
@dataclass(frozen=True)
class SeededRandomness:
    """Repeatable randomness for experiments; ``seed`` is at least 0 and below 2**64 and is written into every
    record."""

    seed: int
    label: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**64:
            raise KakuriError(
                "KK-K28", "not a seed", where="SeededRandomness", got=repr(self.seed), limit="0 ... 2**64-1"
            )

    def child(self, label: str) -> SeededRandomness:
        """An independent stream; equal seed and equal path of labels give equal numbers."""
        return SeededRandomness(self.seed, f"{self.label}/{label.replace('~', '~0').replace('/', '~1')}")

    def generator(self) -> np.random.Generator:
        """A fresh PCG64 generator at the start of this stream."""
        digest = hashlib.sha256(f"kakuri-seeded-1\0{self.seed}\0{self.label}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))

    def to_dict(self) -> dict[str, int | str]:
        return {"seed": self.seed, "label": self.label}


@final
class SystemEntropy:
    """The operating system's generator (getrandom), for keys, masks, nonces and seeds of streams."""

    __slots__ = ()

    def draw(self, length_bytes: int) -> bytes:
        """``length_bytes`` unpredictable bytes. Raises KK-K28 for a length outside 1 ... 2**30."""
        if not 1 <= length_bytes <= _MAX_DRAW_BYTES:
            raise KakuriError(
                "KK-K28", "cannot draw that many bytes", where="SystemEntropy", got=length_bytes, limit="1 ... 2**30"
            )
        return os.urandom(length_bytes)

    def __repr__(self) -> str:
        return "SystemEntropy()"


def require_system_entropy(randomness: SystemEntropy) -> SystemEntropy:
    """Returns its argument. Raises ``RandomnessKindError`` (KK-K29, also a ``TypeError``) for any other object."""
    if type(randomness) is not SystemEntropy:
        raise RandomnessKindError(
            "KK-K29",
            "keys and masks need the operating system's entropy",
            got=type(randomness).__name__,
            limit="SystemEntropy",
            hint="pass kakuri.trust.SystemEntropy(); a seeded stream is predictable to whoever knows the seed",
        )
    return randomness
