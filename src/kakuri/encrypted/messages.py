"""What travels between client and server: queries and answers.

Purpose: a bounded frame around serialised ciphertexts.
Guarantees: every length is checked before anything is allocated or parsed; the number of ciphertexts is what the
deployment expects, and the deployment digest must match. ``KK-F4x`` otherwise.
Does not guarantee: authenticity. Ciphertexts are malleable; use an authenticated channel.

Format, little-endian: magic ``KKQ1`` (query) or ``KKA1`` (answer); u32 samples; u32 ciphertexts; 32-byte deployment
digest; then per ciphertext a u64 length and the bytes of ``_ckks.Ciphertext``; last the SHA-256 of everything before,
which finds damage (a flipped bit would decrypt to nonsense) and proves nothing about who sent it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from kakuri.errors import KakuriError

_HEADER = struct.Struct("<4sII32s")
_LENGTH = struct.Struct("<Q")
_SHA256_BYTES = 32
MAX_CIPHERTEXTS = 1 << 16
MAX_CIPHERTEXT_BYTES = 1 << 27


@dataclass(frozen=True)
class _Message:
    """samples: how many inputs are inside. digest: of the deployment. ciphertexts: serialised, in wire order."""

    magic: ClassVar[bytes] = b""

    samples: int
    digest: bytes
    ciphertexts: tuple[bytes, ...]

    @property
    def nbytes(self) -> int:
        return _HEADER.size + sum(_LENGTH.size + len(c) for c in self.ciphertexts) + _SHA256_BYTES

    def to_bytes(self) -> bytes:
        parts: list[bytes] = [_HEADER.pack(self.magic, self.samples, len(self.ciphertexts), self.digest)]
        for ciphertext in self.ciphertexts:
            parts += (_LENGTH.pack(len(ciphertext)), ciphertext)
        checksum = hashlib.sha256()
        for part in parts:
            checksum.update(part)
        return b"".join([*parts, checksum.digest()])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises KK-F40 (not such a message), KK-F41 (damaged)."""
        view = memoryview(data)
        if len(view) < _HEADER.size + _SHA256_BYTES or bytes(view[:4]) != cls.magic:
            raise KakuriError(
                "KK-F40",
                f"not an encrypted {cls.__name__.lower()}",
                got=bytes(view[:4]).hex() or "nothing",
                limit=cls.magic.hex(),
                hint="`kakuri inspect FILE` tells what a file is",
            )
        view, checksum = view[:-_SHA256_BYTES], bytes(view[-_SHA256_BYTES:])
        if hashlib.sha256(view).digest() != checksum:
            raise _damaged("checksum", hashlib.sha256(view).hexdigest()[:16], checksum.hex()[:16])
        _, samples, count, digest = _HEADER.unpack_from(view)
        offset = _HEADER.size
        if count > MAX_CIPHERTEXTS or count * _LENGTH.size > len(view) - offset:
            raise _damaged("ciphertexts", count, min(MAX_CIPHERTEXTS, (len(view) - offset) // _LENGTH.size))
        ciphertexts: list[bytes] = []
        for _ in range(count):
            if len(view) - offset < _LENGTH.size:
                raise _damaged("bytes left", len(view) - offset, _LENGTH.size)
            (length,) = _LENGTH.unpack_from(view, offset)
            offset += _LENGTH.size
            if length > min(MAX_CIPHERTEXT_BYTES, len(view) - offset):
                raise _damaged("ciphertext bytes", length, min(MAX_CIPHERTEXT_BYTES, len(view) - offset))
            ciphertexts.append(bytes(view[offset : offset + length]))
            offset += length
        if offset != len(view):
            raise _damaged("bytes", len(view), offset)
        return cls(samples, digest, tuple(ciphertexts))


def _damaged(what: str, got: object, limit: object) -> KakuriError:
    return KakuriError(
        "KK-F41",
        f"the message is damaged ({what})",
        got=got,
        limit=limit,
        hint="it was truncated or changed on the way; send it again",
    )


class Query(_Message):
    """Client to server."""

    magic = b"KKQ1"


class Answer(_Message):
    """Server to client."""

    magic = b"KKA1"


def expect(message: _Message, digest: bytes, ciphertexts: int, max_samples: int) -> None:
    """Raises KK-F42 (another deployment), KK-F43 (wrong number of ciphertexts or samples)."""
    if message.digest != digest:
        raise KakuriError(
            "KK-F42",
            "the message belongs to another deployment",
            got=message.digest.hex()[:16],
            limit=digest.hex()[:16],
            hint="package, key file and message must come from one `kakuri build`",
        )
    counts: Sequence[tuple[str, int, int]] = (
        ("ciphertexts", len(message.ciphertexts), ciphertexts),
        ("samples", message.samples, max_samples),
    )
    for what, got, limit in counts:
        if (got != limit) if what == "ciphertexts" else not 1 <= got <= limit:
            raise KakuriError("KK-F43", f"wrong number of {what} in the message", got=got, limit=limit)
