"""Symmetric keys of 32 bytes in secret files.

Purpose: what every kind of symmetric key file shares: drawing a key, and reading one back.
Guarantees: randomness is the operating system's; a file of another kind or length is refused.
Does not guarantee: anything about how a key is used.
Errors: those of ``trust.secret_file``, KK-K43 not such a key.
"""

from __future__ import annotations

from pathlib import Path

from kakuri.errors import KakuriError
from kakuri.trust.entropy import SystemEntropy
from kakuri.trust.secret_file import read_secret

KEY_BYTES = 32
SECTION = "key"


def new_symmetric_key() -> bytes:
    """32 fresh bytes."""
    return SystemEntropy().draw(KEY_BYTES)


def read_symmetric_key(path: Path | str, kind: str, what: str) -> bytes:
    """The key in a secret file of ``kind``. what: its name in the error. Raises KK-K43 and as read_secret."""
    key = read_secret(path, kind).sections.get(SECTION, b"")
    if len(key) != KEY_BYTES:
        raise KakuriError("KK-K43", f"not {what}", where=path, got=f"{len(key)} bytes", limit=f"{KEY_BYTES} bytes")
    return key
