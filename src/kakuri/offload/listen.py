"""A worker that waits for its master on the network.

Purpose: accept one pinned master at a time and serve it from an empty ``Core``.
Guarantees: whoever is not pinned is turned away in the handshake; a broken, silent or malformed connection ends that
connection only; nothing of one master is left for the next one.
Does not guarantee: service under attack: a stranger can hold the door for ``tls.HANDSHAKE_SECONDS`` at a time. Imports
nothing that holds a key of the training; the TLS identity is the worker's own.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

from kakuri.errors import KakuriError
from kakuri.offload.core import Core
from kakuri.offload.serve import serve
from kakuri.offload.transport.address import Address
from kakuri.offload.transport.stream import Stream
from kakuri.offload.transport.tls import Peers


def listen(
    address: Address, identity: Path | str, masters: Path | str, device: str, ready: Callable[[Address], None]
) -> None:
    """Serves for ever. ready: called with the address in use (port 0 takes a free one).

    Raises KK-O03 when the address cannot be used, KK-O23 and KK-F12 for the files.
    """
    peers = Peers(identity, masters, server=True)
    try:
        waiting = socket.create_server((address.host, address.port), family=address.family, backlog=4)
    except OSError as error:
        raise KakuriError("KK-O03", "cannot listen there", where=address, got=error.strerror) from None
    with waiting:
        ready(Address(address.host, waiting.getsockname()[1]))
        while True:
            try:
                connection, (host, port, *_) = waiting.accept()
            except ConnectionAbortedError:
                continue
            try:
                link = Stream(peers.wrap(connection, f"{host}:{port}"))
                _served(link, device)
            except KakuriError as error:
                sys.stderr.write(f"{error}\n")


def _served(link: Stream, device: str) -> None:
    try:
        serve(link, Core(device, link.room))
    finally:
        link.close()
