"""Secret choices, made from the builder's key: the same key makes the same ones.

Guarantees: without the key a choice cannot be told from a random one (HKDF-SHA-256, then ChaCha20); choices with
different labels are independent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

KEY_BYTES = 32


@dataclass(frozen=True)
class Draws:
    """key: 32 bytes, never printed."""

    key: bytes = field(repr=False)

    def permutation(self, label: str, size: int) -> NDArray[np.int64]:
        """(size,): each of 0 ... size - 1 once."""
        return np.argsort(self._words(label, size), kind="stable").astype(np.int64)

    def below(self, label: str, size: int, limit: int) -> NDArray[np.int64]:
        """(size,): 0 ... limit - 1 each, for limits far below 2**64."""
        return (self._words(label, size) % np.uint64(limit)).astype(np.int64)

    def _words(self, label: str, count: int) -> NDArray[np.uint64]:
        stream = HKDF(hashes.SHA256(), KEY_BYTES, None, b"kakuri codegen choices 1 " + label.encode()).derive(self.key)
        cipher = Cipher(algorithms.ChaCha20(stream, bytes(16)), None).encryptor()
        return np.frombuffer(cipher.update(bytes(8 * count)), "<u8")
