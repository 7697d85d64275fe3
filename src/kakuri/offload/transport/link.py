"""What a transport is: messages there and back with one peer.

Purpose: one interface for shared memory on one machine (``channel``) and streams between machines (``stream``).
Guarantees: a closed, dead or silent peer is ``PeerLostError``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from kakuri.errors import KakuriError
from kakuri.offload.transport.frames import Message

Observer = Callable[[str, bytes, tuple[Tensor, ...]], None]
"""Called with ``sent`` or ``received``, the frame's bytes and the tensors that crossed with it."""


class PeerLostError(KakuriError):
    """KK-O21: the other side closed, died or did not answer in time."""


def lost(reason: str) -> PeerLostError:
    return PeerLostError("KK-O21", "the other side of a channel is gone", got=reason)


class Link(Protocol):
    """One end."""

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Where the first tensor of the next message may be written, to be sent without a copy."""

    def send(self, message: Message) -> None:
        """Raises KK-O21."""

    def receive(self) -> Message:
        """Raises KK-O20 for a malformed frame and KK-O21 when nothing comes."""

    def close(self) -> None: ...
