"""The worker's loop, whatever carries the messages."""

from __future__ import annotations

import contextlib

from kakuri.offload.core import Core
from kakuri.offload.transport.frames import Message, Op
from kakuri.offload.transport.link import Link, PeerLostError


def serve(link: Link, core: Core) -> None:
    """Returns when the master says CLOSE. Raises KK-O21 when it is gone and KK-O20 when it sends no frame."""
    while True:
        message = link.receive()
        if message.op is Op.CLOSE:
            with contextlib.suppress(PeerLostError):  # it need not wait for the answer
                link.send(Message(Op.DONE))
            return
        link.send(core.handle(message))
        core.finish()
