"""Encrypting a package for one device.

Purpose: entries under a fresh AES-256-GCM key, the key under the device's X25519 key by HPKE.
Guarantees: each entry is bound to its name; without the device's key only names, sizes and the content object show.
Does not guarantee: forward secrecy against theft of the device's key; authorship (the signature gives that).
Source: RFC 9180 (base mode, X25519, HKDF-SHA256, AES-256-GCM), NIST SP 800-38D, both from ``cryptography``.
Errors: KK-P12.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kakuri.errors import KakuriError
from kakuri.trust.entropy import SystemEntropy

_INFO = b"kakuri-personal-package-1"
_NONCE_BYTES = 12


def _suite() -> hpke.Suite:
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def lock(entries: Mapping[str, bytes], recipient: bytes) -> tuple[dict[str, bytes], str]:
    """Encrypted entries and the wrapped key (hex). recipient: 32 bytes of X25519."""
    entropy = SystemEntropy()
    key = entropy.draw(32)
    made = {}
    for name, data in entries.items():
        nonce = entropy.draw(_NONCE_BYTES)
        made[name] = nonce + AESGCM(key).encrypt(nonce, data, name.encode())
    wrapped = _suite().encrypt(key, X25519PublicKey.from_public_bytes(recipient), info=_INFO)
    return made, wrapped.hex()


def content_key(wrapped: str, device: X25519PrivateKey) -> bytes:
    """The package's key. Raises KK-P12 when it was made for another device."""
    try:
        return _suite().decrypt(bytes.fromhex(wrapped), device, info=_INFO)
    except (ValueError, InvalidTag) as error:
        raise _refused("package", type(error).__name__) from None


def unlock(name: str, data: bytes, key: bytes) -> bytes:
    """One entry. Raises KK-P12."""
    try:
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], name.encode())
    except (ValueError, InvalidTag) as error:
        raise _refused(name, type(error).__name__) from None


def _refused(where: str, got: str) -> KakuriError:
    hint = "the server must build it for this device's address (`kakuri personal address`)"
    return KakuriError("KK-P12", "encrypted for another device, or damaged", where=where, got=got, hint=hint)
