"""The worker process: answers the master's messages until the channel closes.

    python -m kakuri.offload.worker --socket FILE_NUMBER --device cpu --threads 1

Purpose: the whole of what runs beside an untrusted accelerator.
Guarantees: imports no module that holds a key, a plain tensor or a verification secret (import-linter proves it).
Does not guarantee: anything to its own owner beyond bounded parsing of what the master sends.
"""

from __future__ import annotations

import argparse
import contextlib
import socket

import torch

from kakuri.offload.core import Core
from kakuri.offload.transport.channel import Channel, PeerLostError
from kakuri.offload.transport.frames import Message, Op


def serve(channel: Channel, core: Core) -> None:
    """Returns when the master closes or says CLOSE."""
    while True:
        message = channel.receive()
        if message.op is Op.CLOSE:
            channel.send(Message(Op.DONE))
            return
        channel.send(core.handle(message))
        core.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description="An offload worker; started by the master.")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with socket.socket(fileno=options.socket) as connection, contextlib.suppress(PeerLostError):
        channel = Channel(connection)
        serve(channel, Core(options.device, channel.room))


if __name__ == "__main__":
    main()
