"""Secret key files (``.kkey``).

Purpose: write and read the bytes of secret keys, with a public header that can be shown without touching the secret.
Guarantees
- the file has mode 0600 from the moment it exists, whatever the umask; it is written whole or not at all; an existing
  file is kept unless told otherwise (losing a key loses the data);
- a file that its group or others may read, or that another user owns, is refused before its contents are read;
- damage is told apart from a wrong passphrase, and both are refused; nothing is allocated beyond ``SecretLimits``;
- with a passphrase, AES-256-GCM under a key from scrypt encrypts the sections and authenticates the header too.
Does not guarantee: wiping from memory (Python cannot), nor secrecy of an unprotected file on a stolen disk or in a
backup. The header (kind, ``public``, section names and sizes) is never secret.
Source: RFC 7914 (scrypt; N = 2^17, r = 8, p = 1 takes 128 MiB), NIST SP 800-38D (GCM), both from ``cryptography``.

The format (integers little-endian)
- ``kakuri-secret-1\\n``; header length (4 bytes); header: JSON of kind, public, sections, protection;
- body: the sections one behind the other, or their encryption with its 16-byte tag;
- SHA-256 of everything before it (32 bytes), which finds damage and proves nothing.

Errors: KK-K20 who may read it, KK-K21 not such a file, KK-K22 damaged, KK-K23 another kind, KK-K24 passphrase needed,
KK-K25 wrong passphrase, KK-K26 passphrase given but not needed, KK-K27 above a limit, KK-K28 settings.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, open_regular
from kakuri.strict_json import Json
from kakuri.trust.entropy import SystemEntropy
from kakuri.trust.secret_magic import MAGIC, is_secret

_NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_TAG_BYTES, _SALT_BYTES, _NONCE_BYTES, _DIGEST_BYTES = 16, 16, 12, 32
_SCRYPT_R, _SCRYPT_P = 8, 1
_PLAIN: dict[str, Json] = {"type": "none"}


@dataclass(frozen=True)
class SecretLimits:
    """Checked before allocation. scrypt needs 1024 * 2**scrypt_log2_n bytes (2**18: 256 MiB)."""

    header_bytes: int = 1 << 16
    body_bytes: int = 64 << 20
    sections: int = 64
    scrypt_log2_n: int = 18


@dataclass(frozen=True)
class SecretHeader:
    """What anyone may know about a secret file. ``sections``: name -> bytes. ``mode``: the file's permission bits."""

    kind: str
    public: dict[str, Json]
    sections: dict[str, int]
    protected: bool
    mode: int


@dataclass(frozen=True)
class Secret:
    """An opened secret file; ``sections`` are not printed."""

    header: SecretHeader
    sections: dict[str, bytes] = field(repr=False)


@dataclass(frozen=True)
class _Parsed:
    kind: str
    public: dict[str, Json]
    sections: dict[str, int]
    protection: dict[str, Json]

    @property
    def protected(self) -> bool:
        return self.protection != _PLAIN

    @property
    def body_bytes(self) -> int:
        return sum(self.sections.values()) + (_TAG_BYTES if self.protected else 0)


def write_secret(
    path: Path | str,
    kind: str,
    sections: Mapping[str, bytes],
    *,
    public: Mapping[str, object] | None = None,
    passphrase: str | None = None,
    overwrite: bool = False,
    scrypt_log2_n: int = 17,
    limits: SecretLimits | None = None,
) -> None:
    """Writes a secret file of ``kind`` (for example ``encrypted-client``).

    public: JSON that may be shown to anyone. Raises KK-K27 and KK-K28, KK-F11 when the file exists, KK-F10 when it
    cannot be written, KK-F24 when ``public`` is not JSON.
    """
    limits = limits or SecretLimits()
    for name in (kind, *sections):
        if not _NAME.fullmatch(name):
            raise KakuriError("KK-K28", "not a name for a secret", got=repr(name)[:80], limit=_NAME.pattern)
    body = b"".join(sections.values())
    entropy = SystemEntropy()
    protection = _PLAIN if passphrase is None else _new_protection(entropy, scrypt_log2_n, limits)
    parsed = _Parsed(
        kind,
        strict_json.plain_object(public or {}, "public"),
        {name: len(data) for name, data in sections.items()},
        protection,
    )
    head = _encode_header(parsed)
    _check_limits(parsed, len(head), limits, path)
    if passphrase is not None:
        body = _cipher(passphrase, protection).encrypt(_nonce(protection), body, head)
    whole = head + body
    with atomic_write(path, mode=0o600, overwrite=overwrite) as file:
        file.write(whole)
        file.write(hashlib.sha256(whole).digest())


def read_secret(
    path: Path | str, kind: str, *, passphrase: str | None = None, limits: SecretLimits | None = None
) -> Secret:
    """Opens a secret file that must be of ``kind``. Raises the codes of the module's head."""
    limits = limits or SecretLimits()
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        _refuse_shared(path, status)
        parsed, head = _read_header(file, path, limits)
        expected = len(head) + parsed.body_bytes + _DIGEST_BYTES
        if status.st_size != expected:
            raise _damaged(path, "length", f"{status.st_size} bytes", f"{expected} bytes")
        body = _read_exactly(file, parsed.body_bytes, path)
        digest = _read_exactly(file, _DIGEST_BYTES, path)
    if not hmac.compare_digest(hashlib.sha256(head + body).digest(), digest):
        raise _damaged(path, "SHA-256")
    if parsed.kind != kind:
        raise KakuriError("KK-K23", "a secret of another kind", where=path, got=parsed.kind, limit=kind)
    body = _open_body(path, parsed, head, body, passphrase)
    opened, at = {}, 0
    for name, length_bytes in parsed.sections.items():
        opened[name] = body[at : at + length_bytes]
        at += length_bytes
    return Secret(_header(parsed, status), opened)


def read_header(path: Path | str, limits: SecretLimits | None = None) -> SecretHeader:
    """The public part only; reads no secret byte and does not mind the file's permissions. Not authenticated."""
    with open_regular(path) as file:
        parsed, _ = _read_header(file, path, limits or SecretLimits())
        return _header(parsed, os.fstat(file.fileno()))


def _header(parsed: _Parsed, status: os.stat_result) -> SecretHeader:
    return SecretHeader(parsed.kind, parsed.public, parsed.sections, parsed.protected, stat.S_IMODE(status.st_mode))


def _refuse_shared(path: Path | str, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KakuriError(
            "KK-K20",
            "others may read this secret file",
            where=path,
            got=f"mode {mode:04o}",
            limit="mode 0600",
            hint=f"chmod 600 {path}, and make a new key if anyone else had access",
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise KakuriError(
            "KK-K20",
            "another user owns this secret file",
            where=path,
            got=f"uid {status.st_uid}",
            limit=f"uid {os.geteuid()}",
            hint="copy it to a file of your own with mode 0600",
        )


def _encode_header(parsed: _Parsed) -> bytes:
    document: dict[str, Json] = {
        "kind": parsed.kind,
        "public": parsed.public,
        "sections": [{"name": name, "bytes": length_bytes} for name, length_bytes in parsed.sections.items()],
        "protection": parsed.protection,
    }
    text = strict_json.encode(document)
    return MAGIC + struct.pack("<I", len(text)) + text


def _read_header(file: BinaryIO, path: Path | str, limits: SecretLimits) -> tuple[_Parsed, bytes]:
    start = file.read(len(MAGIC) + 4)
    if not is_secret(start):
        raise KakuriError(
            "KK-K21", "not a Kakuri secret file", where=path, hint="give the .kkey file that `kakuri build` wrote"
        )
    if len(start) < len(MAGIC) + 4:
        raise _damaged(path, "length")
    (length_bytes,) = struct.unpack("<I", start[-4:])
    if length_bytes > limits.header_bytes:
        raise _too_large(path, "header bytes", length_bytes, limits.header_bytes)
    head = start + _read_exactly(file, length_bytes, path)
    parsed = _decode_header(strict_json.decode(head[len(start) :], "KK-K22", str(path)), path)
    _check_limits(parsed, len(head), limits, path)
    if _encode_header(parsed) != head:
        raise _damaged(path, "header spelling")
    return parsed, head


def _decode_header(document: dict[str, Json], path: Path | str) -> _Parsed:
    if tuple(document) != ("kind", "public", "sections", "protection"):
        raise _damaged(path, "header keys")
    kind, public, listed, protection = document.values()
    if not isinstance(kind, str) or not _NAME.fullmatch(kind):
        raise _damaged(path, "kind")
    if not isinstance(public, dict) or not isinstance(listed, list) or not isinstance(protection, dict):
        raise _damaged(path, "header types")
    sections: dict[str, int] = {}
    for item in listed:
        if not isinstance(item, dict) or tuple(item) != ("name", "bytes"):
            raise _damaged(path, "section list")
        name, length_bytes = item["name"], item["bytes"]
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in sections:
            raise _damaged(path, "section name")
        if not isinstance(length_bytes, int) or isinstance(length_bytes, bool) or length_bytes < 0:
            raise _damaged(path, "section length")
        sections[name] = length_bytes
    if protection != _PLAIN:
        _check_protection(protection, path)
    return _Parsed(kind, strict_json.plain_object(public, "public"), sections, protection)


def _check_protection(protection: dict[str, Json], path: Path | str) -> None:
    if tuple(protection) != ("type", "log2_n", "r", "p", "salt", "nonce"):
        raise _damaged(path, "protection")
    fixed = (protection["type"], protection["r"], protection["p"])
    if fixed != ("scrypt-aes-256-gcm", _SCRYPT_R, _SCRYPT_P) or not isinstance(protection["log2_n"], int):
        raise _damaged(path, "protection", repr(fixed)[:80])
    for name, length_bytes in (("salt", _SALT_BYTES), ("nonce", _NONCE_BYTES)):
        text = protection[name]
        if not isinstance(text, str) or len(text) != 2 * length_bytes or not _HEX.fullmatch(text):
            raise _damaged(path, name)


def _check_limits(parsed: _Parsed, head_bytes: int, limits: SecretLimits, path: Path | str) -> None:
    if head_bytes - len(MAGIC) - 4 > limits.header_bytes:
        raise _too_large(path, "header bytes", head_bytes, limits.header_bytes)
    if len(parsed.sections) > limits.sections:
        raise _too_large(path, "sections", len(parsed.sections), limits.sections)
    if parsed.body_bytes > limits.body_bytes:
        raise _too_large(path, "secret bytes", parsed.body_bytes, limits.body_bytes)
    log2_n = parsed.protection.get("log2_n")
    if isinstance(log2_n, int) and not 14 <= log2_n <= limits.scrypt_log2_n:
        raise KakuriError(
            "KK-K27", "scrypt cost is out of bounds", where=path, got=log2_n, limit=f"14 ... {limits.scrypt_log2_n}"
        )


def _new_protection(entropy: SystemEntropy, log2_n: int, limits: SecretLimits) -> dict[str, Json]:
    if not 14 <= log2_n <= limits.scrypt_log2_n:
        raise KakuriError("KK-K28", "scrypt cost is out of bounds", got=log2_n, limit=f"14 ... {limits.scrypt_log2_n}")
    return {
        "type": "scrypt-aes-256-gcm",
        "log2_n": log2_n,
        "r": _SCRYPT_R,
        "p": _SCRYPT_P,
        "salt": entropy.draw(_SALT_BYTES).hex(),
        "nonce": entropy.draw(_NONCE_BYTES).hex(),
    }


def _cipher(passphrase: str, protection: Mapping[str, Json]) -> AESGCM:
    if not passphrase:
        raise KakuriError("KK-K28", "the passphrase is empty", hint="give one, or none at all for an unprotected file")
    log2_n = protection["log2_n"]
    length = 1 << log2_n if isinstance(log2_n, int) else 0
    salt = bytes.fromhex(str(protection["salt"]))
    kdf = Scrypt(salt=salt, length=32, n=length, r=_SCRYPT_R, p=_SCRYPT_P)
    return AESGCM(kdf.derive(unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")))


def _nonce(protection: Mapping[str, Json]) -> bytes:
    return bytes.fromhex(str(protection["nonce"]))


def _open_body(path: Path | str, parsed: _Parsed, head: bytes, body: bytes, passphrase: str | None) -> bytes:
    if not parsed.protected:
        if passphrase is not None:
            raise KakuriError(
                "KK-K26",
                "a passphrase was given, but the file is not protected by one",
                where=path,
                hint="leave it out; to protect the key, save it again with a passphrase",
            )
        return body
    if passphrase is None:
        raise KakuriError("KK-K24", "the file is protected by a passphrase", where=path, hint="give the passphrase")
    try:
        return _cipher(passphrase, parsed.protection).decrypt(_nonce(parsed.protection), body, head)
    except InvalidTag:
        raise KakuriError("KK-K25", "wrong passphrase", where=path, hint="the file is whole; try again") from None


def _read_exactly(file: BinaryIO, length_bytes: int, path: Path | str) -> bytes:
    if length_bytes > os.fstat(file.fileno()).st_size:  # before allocating for it
        raise _damaged(path, "length")
    parts = []
    while length_bytes:
        part = file.read(length_bytes)
        if not part:
            raise _damaged(path, "length")
        parts.append(part)
        length_bytes -= len(part)
    return b"".join(parts)


def _damaged(path: Path | str, what: str, got: str = "", limit: str = "") -> KakuriError:
    return KakuriError(
        "KK-K22",
        f"the secret file is damaged: {what}",
        where=path,
        got=got,
        limit=limit,
        hint="restore it from a backup; a lost key cannot be computed again",
    )


def _too_large(path: Path | str, what: str, got: int, limit: int) -> KakuriError:
    return KakuriError("KK-K27", f"too many {what}", where=path, got=got, limit=limit)
