"""Files that only the holder of a key can read or change.

Purpose: keep a process's state on a disk that somebody else administers.
Guarantees: AES-256-GCM under a key derived from the caller's (HKDF-SHA-256, a fresh salt per file); chunks are
numbered and the last one is marked, so that none can be changed, dropped, moved or taken from another file; the kind
and the public header are authenticated; nothing is allocated beyond ``limit_bytes``; the file is whole or absent and
has mode 0600.
Does not guarantee: freshness. An older file under the same key is accepted: whoever needs more compares a counter in
the header with one kept elsewhere.
Source: NIST SP 800-38D (GCM), RFC 5869 (HKDF), both from ``cryptography``; Hoang, Reyhanitabar, Rogaway and Vizar
2015 (STREAM).

The format (integers little-endian)
- ``kakuri-sealed-1\\n``; salt (32 bytes); header length (4 bytes); header: JSON of kind, public, length in bytes;
- per chunk of 16 MiB (the last may be shorter, and empty) its encryption with a 16-byte tag. Nonce: the chunk's
number (11
  bytes) and whether it is the last (1 byte). Associated data: everything before the first chunk.

Errors: KK-T10 not such a file, KK-T11 damaged, changed or another key, KK-T12 another kind, KK-F13 above the limit.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, open_regular
from kakuri.strict_json import Json
from kakuri.trust.entropy import SystemEntropy

MAGIC = b"kakuri-sealed-1\n"
KEY_BYTES = 32
_SALT_BYTES, _TAG_BYTES, _CHUNK_BYTES, _HEADER_BYTES = 32, 16, 1 << 24, 1 << 16


def seal(
    path: Path | str,
    kind: str,
    body: bytes,
    key: bytes,
    *,
    public: Mapping[str, object] | None = None,
    overwrite: bool = True,
) -> None:
    """Writes ``body``. key: 32 bytes. public: JSON that anybody may read and nobody may change."""
    salt = SystemEntropy().draw(_SALT_BYTES)
    header = strict_json.encode({"kind": kind, "public": strict_json.plain_object(public or {}), "bytes": len(body)})
    head = MAGIC + salt + struct.pack("<I", len(header)) + header
    cipher = _cipher(key, salt)
    count = _chunks(len(body))
    with atomic_write(path, mode=0o600, overwrite=overwrite) as file:
        file.write(head)
        for index in range(count):
            chunk = body[index * _CHUNK_BYTES : (index + 1) * _CHUNK_BYTES]
            file.write(cipher.encrypt(_nonce(index, count), chunk, head))


def unseal(path: Path | str, kind: str, key: bytes, *, limit_bytes: int = 1 << 36) -> tuple[bytes, dict[str, Json]]:
    """Body and public header. Raises the codes of the module's head."""
    with open_regular(path) as file:
        start = _read(file, len(MAGIC) + _SALT_BYTES + 4, path)
        if not start.startswith(MAGIC):
            raise KakuriError("KK-T10", "not a sealed file", where=path)
        (length_bytes,) = struct.unpack("<I", start[-4:])
        if length_bytes > _HEADER_BYTES:
            raise _damaged(path)
        header = _read(file, length_bytes, path)
        document = strict_json.decode(header, "KK-T11", str(path))
        body_bytes, public = document.get("bytes"), document.get("public")
        if not isinstance(body_bytes, int) or body_bytes < 0 or not isinstance(public, dict):
            raise _damaged(path)
        if body_bytes > limit_bytes:
            raise KakuriError("KK-F13", "file is too large", where=path, got=body_bytes, limit=limit_bytes)
        cipher, count = _cipher(key, start[len(MAGIC) : -4]), _chunks(body_bytes)
        parts = []
        try:
            for index in range(count):
                size = min(_CHUNK_BYTES, body_bytes - index * _CHUNK_BYTES)
                chunk = _read(file, size + _TAG_BYTES, path)
                parts.append(cipher.decrypt(_nonce(index, count), chunk, start + header))
        except InvalidTag:
            raise _damaged(path) from None
        if file.read(1):
            raise _damaged(path)
    if document.get("kind") != kind:
        raise KakuriError("KK-T12", "a sealed file of another kind", where=path, got=document.get("kind"), limit=kind)
    return b"".join(parts), public


def _chunks(length_bytes: int) -> int:
    return max(1, -(-length_bytes // _CHUNK_BYTES))


def _nonce(index: int, count: int) -> bytes:
    return index.to_bytes(11, "little") + bytes([index == count - 1])


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise KakuriError("KK-K28", "not a sealing key", got=f"{len(key)} bytes", limit=f"{KEY_BYTES} bytes")
    return AESGCM(HKDF(hashes.SHA256(), KEY_BYTES, salt, b"kakuri-sealed-1").derive(key))


def _read(file: BinaryIO, length_bytes: int, path: Path | str) -> bytes:
    parts = []
    while length_bytes:
        part = file.read(length_bytes)
        if not part:
            raise _damaged(path)
        parts.append(part)
        length_bytes -= len(part)
    return b"".join(parts)


def _damaged(path: Path | str) -> KakuriError:
    return KakuriError("KK-T11", "the sealed file is damaged or was changed, or the key is another", where=path)
