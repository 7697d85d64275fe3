"""Masks from one key: every permutation, sign, scale and noise that hides something.

Purpose: expand a 32-byte mask key into named, independent streams, so that a mask can be made again when it is needed
and never has to be stored.
Guarantees: a stream is ChaCha20 under a key from HMAC-SHA-256 of the mask key and the stream's path; the key comes from
the operating system; two different paths never share a stream.
Does not guarantee: constant-time use; gathering by a secret permutation touches memory in a secret order, which a
confidential VM does not hide from its host.
Source: RFC 8439 (ChaCha20), RFC 2104 (HMAC), both from ``cryptography``; Box and Muller 1958.
"""

from __future__ import annotations

import struct

import numpy as np
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.trust import SystemEntropy, require_system_entropy

KEY_BYTES = 32
Path = tuple[str | int, ...]


class MaskKey:
    """32 secret bytes that can be forgotten."""

    def __init__(self, entropy: SystemEntropy) -> None:
        self._key = bytearray(require_system_entropy(entropy).draw(KEY_BYTES))

    def stream(self, *path: str | int) -> MaskStream:
        """The stream named ``path``. Raises KK-O30 after ``destroy``."""
        if not self._key:
            raise KakuriError("KK-O30", "the mask key was destroyed", hint="plan and build again")
        return MaskStream(bytes(self._key), path)

    def destroy(self) -> None:
        """Overwrites the key; copies that Python made on the way are out of reach."""
        self._key[:] = bytes(len(self._key))
        self._key.clear()

    def __repr__(self) -> str:
        return "<MaskKey>"


class MaskStream:
    """One stream, read from its beginning."""

    def __init__(self, key: bytes, path: Path) -> None:
        mac = hmac.HMAC(key, hashes.SHA256())
        for part in path:
            data = part.encode() if isinstance(part, str) else struct.pack("<q", part)
            mac.update(struct.pack("<BI", isinstance(part, str), len(data)) + data)
        self._cipher = Cipher(algorithms.ChaCha20(mac.finalize(), bytes(16)), mode=None).encryptor()

    def child_key(self) -> bytes:
        """The next 32 bytes as the key of further streams."""
        return self.words(KEY_BYTES // 8).tobytes()

    def words(self, count: int) -> NDArray[np.uint64]:
        """(count,) uniform 64-bit words."""
        return np.frombuffer(self._cipher.update(bytes(8 * count)), np.uint64)

    def uniform(self, count: int) -> NDArray[np.float64]:
        """(count,) in (0, 1]."""
        return ((self.words(count) >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53

    def gaussian(self, count: int) -> NDArray[np.float64]:
        """(count,) standard normal."""
        half = -(-count // 2)
        radius = np.sqrt(-2.0 * np.log(self.uniform(half)))
        angle = 2.0 * np.pi * self.uniform(half)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
