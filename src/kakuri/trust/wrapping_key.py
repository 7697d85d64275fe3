"""A symmetric key that packages are sealed under, for devices whose maker provisions them.

Purpose: ``WrappingKey.generate().save(path)`` at the maker's; the same file on the device, where the enclave's worker
reads it.
Guarantees: AES-256-GCM from ``cryptography``, a fresh random nonce for every package; the file has mode 0600.
Does not guarantee: anything against whoever else has the file: the maker's copy opens every package of that device.
With ``trust.device_key`` the maker holds a public key only; prefer it.
Errors: those of ``trust.secret_file``, KK-K43 not a wrapping key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kakuri.trust.entropy import SystemEntropy
from kakuri.trust.secret_file import write_secret
from kakuri.trust.symmetric_key import SECTION, new_symmetric_key, read_symmetric_key

KIND = "enclave-wrapping"
_NONCE_BYTES = 12


@dataclass(frozen=True)
class WrappingKey:
    """Never printed."""

    _key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> WrappingKey:
        return cls(new_symmetric_key())

    @classmethod
    def load(cls, path: Path | str) -> WrappingKey:
        """Raises KK-K43 and the codes of ``read_secret``."""
        return cls(read_symmetric_key(path, KIND, "a wrapping key"))

    def save(self, path: Path | str) -> None:
        """Raises as ``write_secret``."""
        write_secret(path, KIND, {SECTION: self._key}, public={"use": "seals packages"})

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """Nonce, ciphertext, tag; ``info`` is authenticated."""
        nonce = SystemEntropy().draw(_NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, plaintext, info)
