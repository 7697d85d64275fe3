"""The key that packages are sealed to.

Purpose: ``new_device_key`` makes and stores the X25519 key pair of one device; ``Recipient`` is its public half.
Guarantees: the private half lies in a ``.kkey`` file (mode 0600) that nothing in Kakuri's Python reads: the
    enclave's worker opens it. HPKE comes from ``cryptography``.
Does not guarantee: that the device's owner cannot read the file. Without a TPM or another user id they can; see
    docs/enclave.md.
Source: RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
Errors: KK-K40 not a public key, and those of ``trust.secret_file``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from kakuri.errors import KakuriError
from kakuri.trust.secret_file import read_header, write_secret

KIND = "enclave-device"
SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
PUBLIC_BYTES, OVERHEAD_BYTES = 32, 48


@dataclass(frozen=True)
class Recipient:
    """public_key: 32 bytes."""

    public_key: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.public_key, bytes) or len(self.public_key) != PUBLIC_BYTES:
            raise KakuriError("KK-K40", "not a device's public key", limit="32 bytes")

    @classmethod
    def from_hex(cls, text: str) -> Recipient:
        """Raises KK-K40."""
        try:
            return cls(bytes.fromhex(text))
        except (ValueError, TypeError):
            raise KakuriError(
                "KK-K40", "not a device's public key", got=ascii(text)[:40], limit="64 hex digits"
            ) from None

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """HPKE: 32 bytes of encapsulated key, then ciphertext and tag. Raises KK-K40 for a point of small order."""
        try:
            return SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(self.public_key), info)
        except ValueError as error:
            raise KakuriError("KK-K40", "this public key cannot be used", got=str(error)[:80]) from None


def new_device_key(path: Path | str) -> Recipient:
    """Make a key pair, write the private half to ``path`` and return the public half. Raises as ``write_secret``."""
    private = X25519PrivateKey.generate()
    recipient = Recipient(private.public_key().public_bytes_raw())
    public = {"public_key": recipient.public_key.hex()}
    write_secret(path, KIND, {"private": private.private_bytes_raw()}, public=public)
    return recipient


def recipient_of(path: Path | str) -> Recipient:
    """The public half, from the header of a device's key file. Raises KK-K23 for a key file of another kind."""
    header = read_header(path)
    if header.kind != KIND:
        raise KakuriError("KK-K23", "a key file of another kind", where=path, got=header.kind, limit=KIND)
    return Recipient.from_hex(str(header.public.get("public_key", "")))
