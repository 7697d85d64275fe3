"""Sealed weights, the counterpart of the emitted code that opens them (protection levels 3 and 4).

Purpose: ``seal(pieces, key, code)`` gives the sealed blob: an identity (16 bytes), then every piece as a nonce (12
bytes), its AES-256-GCM ciphertext, and the tag (16 bytes).
Guarantees: a piece opens under the same key only, in the code it was made for, at its own place, beside the other
pieces of the same blob: ``code``, the identity and the piece's number are authenticated with it. Nonces are MACs of
what they are used for, so equal inputs give equal bytes and different ones share a nonce with chance 2^-96 only.
Does not guarantee: freshness: an older blob for the same code and key opens; that nobody sees that two blobs are
the same; secrecy once a piece is open in memory.
Source: NIST SP 800-38D (GCM), RFC 5869 (HKDF), RFC 2104 (HMAC), all from ``cryptography``.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kakuri.codegen.protect.draws import KEY_BYTES

CODE_BYTES, IDENTITY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 16, 12, 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES


def seal(pieces: Sequence[bytes], key: bytes, code: bytes) -> bytes:
    """key, code: 32 bytes each; code is the digest of the C that opens the blob."""
    names = HKDF(hashes.SHA256(), KEY_BYTES, None, b"kakuri codegen nonces 1").derive(key)
    sizes = b"".join(len(piece).to_bytes(8, "little") for piece in pieces)
    identity = _mac(names, b"blob" + code + len(pieces).to_bytes(8, "little") + sizes, *pieces)[:IDENTITY_BYTES]
    sealed = [identity]
    for number, piece in enumerate(pieces):
        label = label_of(code, identity, number)
        nonce = _mac(names, b"part" + label, piece)[:NONCE_BYTES]
        sealed += [nonce, AESGCM(key).encrypt(nonce, piece, label)]
    return b"".join(sealed)


def label_of(code: bytes, identity: bytes, number: int) -> bytes:
    """What is authenticated with piece ``number``."""
    return code + identity + number.to_bytes(4, "little")


def places(sizes: Sequence[int]) -> list[int]:
    """Where each piece begins in the sealed blob, and last the blob's size."""
    at = [IDENTITY_BYTES]
    for size in sizes:
        at.append(at[-1] + size + OVERHEAD_BYTES)
    return at


def _mac(key: bytes, *message: bytes) -> bytes:
    mac = hmac.HMAC(key, hashes.SHA256())
    for part in message:
        mac.update(part)
    return mac.finalize()
