"""Artefacts at rest: encrypted, whole or absent.

Purpose: what training writes to the disk, under a key that ``device`` keeps and ``forget`` destroys.
Guarantees: AES-256-GCM with a fresh nonce for every write; an artefact of another purpose, key or version is refused; a
crash leaves the old artefact or the new one.
Does not guarantee: that an older artefact of the same purpose is noticed when someone puts it back.
Errors: KK-P20 not readable under this key.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.trust.entropy import SystemEntropy

_MAGIC = b"kakuri-sealed-1\n"
_NONCE_BYTES = 12
_MAX_BYTES = 2 << 30


def write_sealed(path: Path, purpose: str, key: bytes, data: bytes) -> None:
    """Replaces ``path``. Raises KK-F10."""
    nonce = SystemEntropy().draw(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, data, _MAGIC + purpose.encode())
    with atomic_write(path) as file:
        file.write(_MAGIC + nonce + sealed)


def read_sealed(path: Path, purpose: str, key: bytes) -> bytes:
    """Raises KK-P20, KK-F12 and KK-F13."""
    data = read_bounded(path, limit_bytes=_MAX_BYTES)
    start = len(_MAGIC) + _NONCE_BYTES
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("not an artefact")
        return AESGCM(key).decrypt(data[len(_MAGIC) : start], data[start:], _MAGIC + purpose.encode())
    except (InvalidTag, ValueError) as error:
        hint = "it is damaged, or its key was forgotten; personalise again"
        raise KakuriError(
            "KK-P20", "cannot open the artefact", where=path, got=type(error).__name__, hint=hint
        ) from None
