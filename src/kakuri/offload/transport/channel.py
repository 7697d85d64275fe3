"""A channel between two processes of one machine: frames on a socket, tensors in shared memory.

Purpose: lock-step exchange; the master sends a request, the worker answers it.
Guarantees: lengths are checked before allocation; a closed or silent peer becomes ``PeerLostError`` (KK-O21), never
a hang beyond ``timeout_seconds``; file descriptors that come uninvited are closed.
Does not guarantee: secrecy or integrity of what crosses; the frames hold nothing but blinded values.
"""

from __future__ import annotations

import os
import socket

import torch
from torch import Tensor

from kakuri.offload.transport.arena import ALIGNMENT, Arena
from kakuri.offload.transport.frames import (
    HEAD_BYTES,
    Descriptor,
    Frame,
    Limits,
    Message,
    Op,
    pack,
    parse,
    refused,
    rest_bytes,
)
from kakuri.offload.transport.link import Observer, PeerLostError, lost

_FIRST_ARENA_BYTES = 1 << 20


class Channel:
    """One end. The tensors of a received message are views that stay valid until the next ``send``."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        limits: Limits | None = None,
        timeout_seconds: float | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._socket = connection
        self._socket.settimeout(timeout_seconds)
        self._limits = limits or Limits()
        self._observer = observer
        self._outgoing: Arena | None = None
        self._incoming: Arena | None = None

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Shared memory for the first tensor of the next message, which is then sent without a copy. The peer can
        read it while it is written."""
        item = Descriptor(dtype, shape, 0)
        try:
            return self._arena(item.nbytes).view(item)
        except OSError as error:
            raise lost(str(error)) from None

    def send(self, message: Message) -> None:
        places = _places(message.tensors)
        try:
            if message.tensors:
                arena = self._arena(places[-1])
                for tensor, place in zip(message.tensors, places, strict=False):
                    target = arena.view(Descriptor(tensor.dtype, tuple(tensor.shape), place))
                    if target.data_ptr() != tensor.data_ptr():
                        target.copy_(tensor)
            data = pack(message, places[:-1])
            self._socket.sendall(data)
        except OSError as error:
            raise lost(str(error)) from None
        if self._observer is not None:
            self._observer("sent", data, message.tensors)

    def receive(self) -> Message:
        """Raises KK-O20 for a malformed frame and KK-O21 when nothing comes."""
        while True:
            head, files = self._head()
            try:
                frame = self._rest(head)
                if frame[1].op is Op.ARENA:
                    if len(files) != 1 or frame[1].descriptors:
                        raise refused("files with a shared memory", len(files), 1)
                    self._adopt(files.pop())
                    continue
            finally:
                for file in files:
                    os.close(file)
            return self._message(*frame)

    def close(self) -> None:
        self._socket.close()
        for arena in (self._outgoing, self._incoming):
            if arena is not None:
                arena.close()
        self._outgoing = self._incoming = None

    def _arena(self, needed_bytes: int) -> Arena:
        """The outgoing memory, a larger one when it does not hold ``needed_bytes``."""
        if self._outgoing is not None and self._outgoing.size_bytes >= needed_bytes:
            return self._outgoing
        size_bytes = _FIRST_ARENA_BYTES
        while size_bytes < needed_bytes:
            size_bytes *= 2
        if size_bytes > 2 * self._limits.frame_bytes:
            raise refused("bytes of all tensors", needed_bytes, self._limits.frame_bytes)
        if self._outgoing is not None:
            self._outgoing.close()
        self._outgoing = Arena.create(size_bytes)
        socket.send_fds(self._socket, [pack(Message(Op.ARENA), ())], [self._outgoing.descriptor])
        return self._outgoing

    def _adopt(self, file: int) -> None:
        if self._incoming is not None:
            self._incoming.close()
        self._incoming = Arena.adopt(file, 2 * self._limits.frame_bytes)

    def _head(self) -> tuple[bytes, list[int]]:
        """The first bytes of a frame, and the files that came with them."""
        data, files = b"", []
        try:
            while len(data) < HEAD_BYTES:
                part, more, _, _ = socket.recv_fds(self._socket, HEAD_BYTES - len(data), 4)
                files += more
                if not part:
                    raise lost("closed")
                data += part
        except OSError as error:
            _close_all(files)
            raise lost(str(error) or "no answer in time") from None
        except PeerLostError:
            _close_all(files)
            raise
        return data, files

    def _rest(self, head: bytes) -> tuple[bytes, Frame]:
        wanted = rest_bytes(head, self._limits)
        data = b""
        try:
            while len(data) < wanted:
                part = self._socket.recv(wanted - len(data))
                if not part:
                    raise lost("closed")
                data += part
        except OSError as error:
            raise lost(str(error) or "no answer in time") from None
        return head + data, parse(head, data, self._limits)

    def _message(self, data: bytes, frame: Frame) -> Message:
        if frame.descriptors and self._incoming is None:
            raise refused("tensors", "no shared memory", "a shared memory first")
        tensors = tuple(self._incoming.view(item) for item in frame.descriptors) if self._incoming else ()
        if self._observer is not None:
            self._observer("received", data, tensors)
        return Message(frame.op, frame.integers, frame.floats, tensors)


def _places(tensors: tuple[Tensor, ...]) -> tuple[int, ...]:
    """Aligned places one behind the other, and at last the bytes needed."""
    places = [0]
    for tensor in tensors:
        places.append(places[-1] + -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT)
    return tuple(places)


def _close_all(files: list[int]) -> None:
    for file in files:
        os.close(file)
