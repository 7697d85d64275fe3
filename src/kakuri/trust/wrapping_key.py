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

from kakuri.errors import KakuriError
from kakuri.trust.entropy import SystemEntropy
from kakuri.trust.secret_file import read_secret, write_secret

KIND = "enclave-wrapping"
_KEY_BYTES, _NONCE_BYTES = 32, 12


@dataclass(frozen=True)
class WrappingKey:
    """Never printed."""

    _key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> WrappingKey:
        return cls(SystemEntropy().draw(_KEY_BYTES))

    @classmethod
    def load(cls, path: Path | str) -> WrappingKey:
        """Raises KK-K43 and the codes of ``read_secret``."""
        section = read_secret(path, KIND).sections.get("key", b"")
        if len(section) != _KEY_BYTES:
            raise KakuriError("KK-K43", "not a wrapping key", where=path, got=f"{len(section)} bytes")
        return cls(section)

    def save(self, path: Path | str) -> None:
        """Raises as ``write_secret``."""
        write_secret(path, KIND, {"key": self._key}, public={"use": "seals packages"})

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """Nonce, ciphertext, tag; ``info`` is authenticated."""
        nonce = SystemEntropy().draw(_NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, plaintext, info)
