"""Mutual TLS with pinned certificates.

Purpose: the connection between a master and a worker on another machine.
Guarantees: TLS 1.3 only; each side proves that it holds the key of a certificate that the other side pinned, and no
authority can vouch for anybody else; no session is resumed. A third party on the network sees sizes and times.
Does not guarantee: that the peer is honest: a worker is not, which is why it gets blinded values only.
Source: RFC 8446, through Python's ``ssl``.
Errors: KK-O21 no connection, KK-O23 not an identity, KK-O24 not the pinned peer.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from kakuri.errors import KakuriError
from kakuri.offload.transport.identity import certificates
from kakuri.offload.transport.link import lost

HANDSHAKE_SECONDS = 10.0
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))


class Peers:
    """Own identity and the certificates of those who may be at the other end."""

    def __init__(self, identity: Path | str, pinned: Path | str, *, server: bool) -> None:
        """Raises KK-F12, KK-F13 and KK-O23."""
        allowed = [item.public_bytes(Encoding.DER) for item in certificates(pinned)]
        self._pins = frozenset(hashlib.sha256(item).digest() for item in allowed)
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.check_hostname = False  # the certificate itself is pinned
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._context.load_verify_locations(cadata=b"".join(allowed))
        if server:
            self._context.num_tickets = 0
        certificates(identity)  # a missing or oversized file has its own error
        try:
            self._context.load_cert_chain(identity, password=lambda: "")  # never asks at a terminal
        except (ssl.SSLError, OSError):
            hint = "`kakuri worker identity NAME` writes one"
            raise KakuriError("KK-O23", "not a key with its certificate", where=identity, hint=hint) from None

    def wrap(self, connection: socket.socket, where: str) -> ssl.SSLSocket:
        """The encrypted connection. Raises KK-O21 and KK-O24; ``connection`` is closed then."""
        connection.settimeout(HANDSHAKE_SECONDS)
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = self._context.wrap_socket(connection, server_side=self._server)
        except ssl.SSLError as error:
            connection.close()
            raise _stranger(where, error.reason or str(error)) from None
        except OSError as error:
            connection.close()
            raise lost(f"{where}: {error}") from None
        seen = wrapped.getpeercert(binary_form=True)
        if seen is None or hashlib.sha256(seen).digest() not in self._pins:
            wrapped.close()
            raise _stranger(where, "another certificate")
        return wrapped


def _stranger(where: str, reason: str) -> KakuriError:
    hint = "pin the certificate that `kakuri worker identity` wrote on that machine"
    return KakuriError("KK-O24", "the peer is not the pinned one", where=where, got=reason, hint=hint)
