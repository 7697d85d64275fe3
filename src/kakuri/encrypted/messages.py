"""What travels between client and server: queries and answers.

Purpose: a bounded frame around serialised ciphertexts.
Guarantees: every length is checked before anything is allocated or parsed; the number of ciphertexts is what the
deployment expects, and the deployment digest must match. ``KK-F4x`` otherwise.
Does not guarantee: authenticity. Ciphertexts are malleable; use an authenticated channel.

Format, little-endian: magic ``KKQ2`` (query) or ``KKA2`` (answer); u32 samples; u32 ciphertexts; 32-byte deployment
digest; then per ciphertext a u64 length and the bytes of ``_ckks.Ciphertext``; last the CRC-32 (that of zlib) of
everything before. It finds damage (a flipped bit would decrypt to nonsense; one damaged message in 2^32 passes) and
proves nothing about who sent it; a cryptographic hash would prove as little and took a tenth of an answer's time.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from kakuri.errors import KakuriError

_HEADER = struct.Struct("<4sII32s")
_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
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
        return _HEADER.size + sum(_LENGTH.size + len(c) for c in self.ciphertexts) + _CHECKSUM.size

    def to_bytes(self) -> bytes:
        parts: list[bytes] = [_HEADER.pack(self.magic, self.samples, len(self.ciphertexts), self.digest)]
        for ciphertext in self.ciphertexts:
            parts += (_LENGTH.pack(len(ciphertext)), ciphertext)
        checksum = 0
        for part in parts:
            checksum = zlib.crc32(part, checksum)
        return b"".join([*parts, _CHECKSUM.pack(checksum)])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises KK-F40 (not such a message), KK-F41 (damaged)."""
        view = memoryview(data)
        if len(view) < _HEADER.size + _CHECKSUM.size or bytes(view[:4]) != cls.magic:
            raise KakuriError(
                "KK-F40",
                f"not an encrypted {cls.__name__.lower()}",
                got=bytes(view[:4]).hex() or "nothing",
                limit=cls.magic.hex(),
                hint="`kakuri inspect FILE` tells what a file is",
            )
        view, (checksum,) = view[: -_CHECKSUM.size], _CHECKSUM.unpack(view[-_CHECKSUM.size :])
        if zlib.crc32(view) != checksum:
            raise _damaged("checksum", f"{zlib.crc32(view):08x}", f"{checksum:08x}")
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

    magic = b"KKQ2"


class Answer(_Message):
    """Server to client."""

    magic = b"KKA2"


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
