"""Who made a package: ECDSA P-256 signatures, as an OpenSSF model signature and as a compact one.

Purpose: ``Signer`` signs, ``verify_bundle`` and ``verify`` check against a pinned ``SignerPublic``.
Guarantees: the bundle has the layout that the ``model-signing`` package writes and verifies for elliptic-curve keys: a
    sigstore bundle 0.3 with a DSSE envelope around an in-toto statement that lists every file with its SHA-256.
    ``verify_bundle`` accepts exactly one statement of that kind, whose files are exactly those given.
Does not guarantee: who stands behind a key; pin keys by a channel of your own. No transparency log is asked.
Source: OpenSSF Model Signing 1.0; DSSE 1.0 (pre-authentication encoding); in-toto Statement 1.
Errors: KK-K41 not signed by this key or for other files, KK-K42 not a key, and those of ``trust.secret_file``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.strict_json import Json
from kakuri.trust.secret_file import read_secret, write_secret

KIND = "package-signer"
MAX_BUNDLE_BYTES = 1 << 20
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PUBLIC = re.compile(r"kakuri-maker-1 ([0-9a-f]{130})\n?")
_ALGORITHM = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True)
class SignerPublic:
    """point: the P-256 public key, uncompressed, 65 bytes."""

    point: bytes

    def key(self) -> ec.EllipticCurvePublicKey:
        """Raises KK-K42 for bytes that are no point of the curve."""
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.point)
        except (ValueError, TypeError):
            raise KakuriError("KK-K42", "not a signer's public key", limit="65 bytes, a point of P-256") from None

    @classmethod
    def load(cls, path: Path | str) -> SignerPublic:
        """From a .pub file. Raises KK-K42."""
        found = _PUBLIC.fullmatch(read_bounded(path, limit_bytes=1024).decode("ascii", "replace"))
        if found is None:
            raise KakuriError("KK-K42", "not a maker's public key", where=path, hint="the .pub file beside the key")
        public = cls(bytes.fromhex(found[1]))
        public.key()
        return public

    def save(self, path: Path | str) -> None:
        """As a .pub file, for those who are to trust this signer. Raises KK-F10, KK-F11."""
        with atomic_write(Path(path)) as file:
            file.write(f"kakuri-maker-1 {self.point.hex()}\n".encode())

    @property
    def pem(self) -> bytes:
        return self.key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, label: bytes, data: bytes, signature: bytes) -> None:
        """The compact signature. Raises KK-K41."""
        try:
            self.key().verify(signature, label + data, _ALGORITHM)
        except InvalidSignature:
            raise _not_signed("the signature") from None

    def verify_bundle(self, bundle: bytes, files: Mapping[str, str]) -> None:
        """``files``: name -> SHA-256 in hex, all of them. Raises KK-K41, and KK-F24 for what is not such a bundle."""
        payload, signature = _envelope(bundle)
        try:
            self.key().verify(signature, _pae(payload), _ALGORITHM)
        except InvalidSignature:
            raise _not_signed("the model signature") from None
        statement = strict_json.decode(payload, "KK-K41", "model signature")
        if statement.get("_type") != _STATEMENT_TYPE or statement.get("predicateType") != _PREDICATE_TYPE:
            raise _not_signed("the kind of statement")
        predicate = statement.get("predicate")
        resources = predicate.get("resources") if isinstance(predicate, dict) else None
        if resources != _resources(files):
            raise _not_signed("the list of files")


@dataclass(frozen=True)
class Signer:
    """The private key; never printed."""

    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Signer:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, path: Path | str, passphrase: str | None = None) -> Signer:
        """Raises as ``read_secret``, and KK-K42."""
        section = read_secret(path, KIND, passphrase=passphrase).sections.get("private", b"")
        try:
            key = load_der_private_key(section, None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise KakuriError("KK-K42", "not a signer's key", where=path)
        return cls(key)

    def save(self, path: Path | str, passphrase: str | None = None) -> None:
        """Raises as ``write_secret``."""
        section = self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        write_secret(
            path, KIND, {"private": section}, public={"public_key": self.public.point.hex()}, passphrase=passphrase
        )

    @property
    def public(self) -> SignerPublic:
        return SignerPublic(self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def sign(self, label: bytes, data: bytes) -> bytes:
        """DER signature of ``label + data``; a label of its own for every purpose keeps signatures apart."""
        return self._key.sign(label + data, _ALGORITHM)

    def bundle(self, name: str, files: Mapping[str, str]) -> bytes:
        """The model signature of ``files`` (name -> SHA-256 in hex) as JSON."""
        resources = _resources(files)
        root = hashlib.sha256(b"".join(bytes.fromhex(files[file]) for file in sorted(files))).hexdigest()
        payload = strict_json.encode(
            {
                "_type": _STATEMENT_TYPE,
                "subject": [{"name": name, "digest": {"sha256": root}}],
                "predicateType": _PREDICATE_TYPE,
                "predicate": {
                    "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
                    "resources": resources,
                },
            }
        )
        signature = self._key.sign(_pae(payload), _ALGORITHM)
        return strict_json.encode(
            {
                "mediaType": _BUNDLE_TYPE,
                "verificationMaterial": {
                    "publicKey": {"hint": hashlib.sha256(self.public.pem).hexdigest()},
                    "tlogEntries": [],
                },
                "dsseEnvelope": {
                    "payload": base64.b64encode(payload).decode(),
                    "payloadType": _PAYLOAD_TYPE,
                    "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
                },
            }
        )


def _resources(files: Mapping[str, str]) -> list[Json]:
    return [{"name": name, "algorithm": "sha256", "digest": files[name]} for name in sorted(files)]


def _pae(payload: bytes) -> bytes:
    kind = _PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _envelope(bundle: bytes) -> tuple[bytes, bytes]:
    """(payload, signature). Raises KK-K41 for anything else."""
    document = strict_json.decode(bundle[: MAX_BUNDLE_BYTES + 1], "KK-K41", "model signature")
    envelope = document.get("dsseEnvelope")
    if document.get("mediaType") != _BUNDLE_TYPE or not isinstance(envelope, dict):
        raise _not_signed("the kind of bundle")
    signatures, payload = envelope.get("signatures"), envelope.get("payload")
    if envelope.get("payloadType") != _PAYLOAD_TYPE or not isinstance(signatures, list) or len(signatures) != 1:
        raise _not_signed("the envelope")
    signature = signatures[0].get("sig") if isinstance(signatures[0], dict) else None
    if not isinstance(payload, str) or not isinstance(signature, str):
        raise _not_signed("the envelope")
    try:
        return base64.b64decode(payload, validate=True), base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise _not_signed("the envelope") from None


def _not_signed(what: str) -> KakuriError:
    return KakuriError(
        "KK-K41",
        f"the package is not what this signer signed: {what}",
        hint="take the package from its maker again; never load one whose signature fails",
    )
