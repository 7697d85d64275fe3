"""Who made a package: Ed25519 over everything in it.

Purpose: ``Publisher`` signs, ``verify`` accepts a package of one publisher and refuses all others.
Guarantees: the signature covers room, version, content and the name, size and SHA-256 of every entry but itself, so no
byte can be changed, added or left out; it is checked before any entry is read.
Does not guarantee: freshness; an old package of the same publisher verifies for ever.
Source: RFC 8032, from ``cryptography``.
Errors: KK-P10 not signed or signed by another, KK-P11 not a publisher's public key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.package import Entry, Package
from kakuri.strict_json import Json
from kakuri.trust.secret_file import read_secret, write_secret

ENTRY = "signature.json"
_PREFIX = b"kakuri-personal-signature-1\n"
_KIND = "personal-publisher"
_PUBLIC = re.compile(r"kakuri-publisher-1 ([0-9a-f]{64})\n?")


@dataclass(frozen=True)
class Publisher:
    """The server's signing key. ``public``: 32 bytes."""

    _key: Ed25519PrivateKey

    @classmethod
    def create(cls, path: Path | str, passphrase: str | None = None) -> Publisher:
        """A new key in the secret file ``path``, and ``path`` with the suffix .pub for devices. Raises KK-F11."""
        made = cls(Ed25519PrivateKey.generate())
        raw = made._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        write_secret(path, _KIND, {"ed25519": raw}, public={"public": made.public.hex()}, passphrase=passphrase)
        with atomic_write(Path(path).with_suffix(".pub")) as file:
            file.write(f"kakuri-publisher-1 {made.public.hex()}\n".encode())
        return made

    @classmethod
    def load(cls, path: Path | str, passphrase: str | None = None) -> Publisher:
        """Raises the codes of ``kakuri.trust.secret_file``."""
        opened = read_secret(path, _KIND, passphrase=passphrase)
        return cls(Ed25519PrivateKey.from_private_bytes(opened.sections["ed25519"]))

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, content: dict[str, Json], entries: Sequence[Entry]) -> bytes:
        """The bytes of the entry ``ENTRY``."""
        signature = self._key.sign(_statement(content, entries))
        return strict_json.encode({"publisher": self.public.hex(), "signature": signature.hex()})


def read_public(path: Path | str) -> bytes:
    """The key in a .pub file. Raises KK-P11."""
    text = read_bounded(path, limit_bytes=1024).decode("ascii", "replace")
    found = _PUBLIC.fullmatch(text)
    if found is None:
        hint = "give the .pub file that `kakuri build personal` wrote beside the publisher's key"
        raise KakuriError("KK-P11", "not a publisher's public key", where=path, hint=hint)
    return bytes.fromhex(found[1])


def verify(package: Package, public: bytes) -> None:
    """Raises KK-P10 unless ``package`` is whole as the publisher ``public`` signed it. Reads one entry."""
    where = package.path
    if package.room != "personal" or ENTRY not in package.names or package.entry(ENTRY).size_bytes > 512:
        raise KakuriError("KK-P10", "the package is not a signed hand-off", where=where, got=f"room {package.room}")
    fields = strict_json.decode(package.read(ENTRY), "KK-P10", str(where))
    if fields.get("publisher") != public.hex():
        raise KakuriError(
            "KK-P10",
            "the package was signed by another publisher",
            where=where,
            got=str(fields.get("publisher"))[:64],
            limit=public.hex(),
            hint="get the publisher's .pub file over a channel that you trust",
        )
    signature = fields.get("signature")
    entries = [package.entry(name) for name in package.names if name != ENTRY]
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(bytes.fromhex(str(signature)), _statement(package.content, entries))
    except (InvalidSignature, ValueError):
        raise KakuriError(
            "KK-P10", "the package's signature is not valid", where=where, hint="fetch it again"
        ) from None


def _statement(content: dict[str, Json], entries: Sequence[Entry]) -> bytes:
    listed: list[Json] = [{"name": e.name, "bytes": e.size_bytes, "sha256": e.sha256} for e in entries]
    return _PREFIX + strict_json.encode({"room": "personal", "content": content, "entries": listed})
