"""Who is at the other end of a TLS connection: key and certificate files, and pins.

Purpose: ``create`` makes one side's identity; the other side pins its certificate.
Guarantees: an Ed25519 key from the operating system's entropy; the file with it is readable by its owner only, and
written whole or not at all; certificates are read within a bound and refused with KK-O23 when they are none.
Does not guarantee: who holds a key. Bring the certificate to the other side by a channel of your own: whoever swaps it
there becomes the peer. The certificate says nothing about what runs on the machine; that is for attestation.
Source: RFC 5280 (certificates), RFC 8410 (Ed25519 in them), both through ``cryptography``.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded

MAX_FILE_BYTES = 1 << 20
MAX_NAME_CHARACTERS = 64
_BACK = datetime.timedelta(days=1)  # clocks differ


@dataclass(frozen=True)
class TlsCredentials:
    """Files of the master. identity: its own key and certificate. pinned: certificates of workers, one or many."""

    identity: Path | str
    pinned: Path | str


def create(path: Path | str, name: str, *, days: int = 825, overwrite: bool = False) -> tuple[Path, str]:
    """Writes key and certificate to ``path`` (mode 0600) and the certificate alone beside it, as ``path``.crt.

    Returns the certificate's path and its fingerprint. Raises KK-F10, KK-F11 and KK-O23.
    """
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise KakuriError(
            "KK-O23",
            "not a name for a certificate",
            got=repr(name)[:80],
            limit=f"1 to {MAX_NAME_CHARACTERS} printable characters",
        )
    key = Ed25519PrivateKey.generate()
    certificate = _certificate(key, name, days)
    public = certificate.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shown = Path(f"{path}.crt")
    with atomic_write(path, mode=0o600, overwrite=overwrite) as file:
        file.write(private + public)
    with atomic_write(shown, mode=0o644, overwrite=overwrite) as file:
        file.write(public)
    return shown, fingerprint(certificate)


def certificates(path: Path | str) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM file. Raises KK-F12, KK-F13 and KK-O23."""
    data = read_bounded(path, limit_bytes=MAX_FILE_BYTES)
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError:
        hint = "`kakuri worker identity NAME` writes NAME.crt"
        raise KakuriError("KK-O23", "not a file of certificates", where=path, hint=hint) from None


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, in hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _certificate(key: Ed25519PrivateKey, name: str, days: int) -> x509.Certificate:
    """Self-signed, for either end of a connection, no authority over others."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACK)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(key, None)
    )
