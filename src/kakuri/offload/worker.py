"""The worker process: answers the master's messages.

    python -m kakuri.offload.worker --socket FILE_NUMBER --device cpu --threads 1
    python -m kakuri.offload.worker --listen HOST:PORT --identity worker.pem --master master.pem.crt

Started by a master of this machine it ends with its channel; listening, it serves one master after the other and
writes ``listening on HOST:PORT`` to its output first.

Purpose: the whole of what runs beside an untrusted accelerator.
Guarantees: imports no module that holds a key, a plain tensor or a verification secret (import-linter proves it).
Does not guarantee: anything to its own owner beyond bounded parsing of what the master sends.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import threading

import torch

from kakuri.errors import KakuriError
from kakuri.offload.core import Core
from kakuri.offload.listen import listen
from kakuri.offload.serve import serve
from kakuri.offload.transport.address import Address
from kakuri.offload.transport.channel import Channel
from kakuri.offload.transport.link import PeerLostError


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    if options.socket is not None:
        with socket.socket(fileno=options.socket) as connection, contextlib.suppress(PeerLostError):
            channel = Channel(connection)
            serve(channel, Core(options.device, channel.room))
        return
    if options.attached:
        threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        listen(options.listen, options.identity, options.master, options.device, _announce)
    except KakuriError as error:
        sys.exit(str(error))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An offload worker.")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--socket", type=int)
    place.add_argument("--listen", type=_address)
    parser.add_argument("--attached", action="store_true", help="end when standard input ends")
    parser.add_argument("--identity")
    parser.add_argument("--master")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.listen and not (options.identity and options.master):
        parser.error("--listen needs --identity and --master")
    return options


def _address(text: str) -> Address:
    found = Address.parse(text)
    if found is None:
        raise argparse.ArgumentTypeError("not HOST:PORT")
    return found


def _end_with_input() -> None:
    """For whoever starts a worker and may die first."""
    while sys.stdin.buffer.read(1 << 16):
        pass
    os._exit(0)


def _announce(address: Address) -> None:
    sys.stdout.write(f"listening on {address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
