"""Frames and their tensors on one byte stream, between machines.

Purpose: lock-step exchange over TLS (``transport.tls``); each frame is followed by its tensors, one behind the other.
Guarantees: counts, dtypes, shapes and lengths are checked before anything is allocated; memory is touched only as bytes
arrive, so that a peer which announces much and sends little costs address space only; an answer has
``timeout_seconds`` to begin and as long again to arrive whole, however slowly a peer drips.
Does not guarantee: secrecy or integrity by itself; those are the TLS connection's.

Format: a frame of ``transport.frames`` whose places are the tensors' offsets in what follows, without gaps; then the
values, little-endian, in rows.
"""

from __future__ import annotations

import socket
import sys
import time

import torch
from torch import Tensor

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
from kakuri.offload.transport.link import Observer, lost

_PIECE_BYTES = 1 << 20  # of one call of the socket

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("tensors cross in little-endian order")


class Stream:
    """One end. timeout_seconds: None waits for ever for a frame to begin (a worker for its master)."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        limits: Limits | None = None,
        timeout_seconds: float | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._socket = connection
        self._limits = limits or Limits()
        self._timeout_seconds = timeout_seconds
        self._observer = observer

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Ordinary memory: nothing is seen of it before it is sent."""
        return torch.empty(shape, dtype=dtype)

    def send(self, message: Message) -> None:
        tensors = tuple(tensor.detach().contiguous() for tensor in message.tensors)
        frame = pack(message, _places([tensor.nbytes for tensor in tensors]))
        deadline = self._deadline()
        self._write(memoryview(frame), deadline)
        for tensor in tensors:
            self._write(_bytes_of(tensor), deadline)
        if self._observer is not None:
            self._observer("sent", frame, tensors)

    def receive(self) -> Message:
        head = bytearray(HEAD_BYTES)
        self._read(memoryview(head)[:1], self._deadline())
        deadline = self._deadline()
        self._read(memoryview(head)[1:], deadline)
        rest = bytearray(rest_bytes(bytes(head), self._limits))
        self._read(memoryview(rest), deadline)
        frame = parse(bytes(head), bytes(rest), self._limits)
        _require_a_stream_frame(frame)
        tensors = tuple(self._tensor(item, deadline) for item in frame.descriptors)
        if self._observer is not None:
            self._observer("received", bytes(head + rest), tensors)
        return Message(frame.op, frame.integers, frame.floats, tensors)

    def close(self) -> None:
        self._socket.close()

    def _deadline(self) -> float | None:
        return None if self._timeout_seconds is None else time.monotonic() + self._timeout_seconds

    def _tensor(self, item: Descriptor, deadline: float | None) -> Tensor:
        try:
            tensor = torch.empty(item.shape, dtype=item.dtype)
        except (RuntimeError, MemoryError):
            raise refused("bytes of a tensor", item.nbytes, "what this machine can allocate") from None
        self._read(_bytes_of(tensor), deadline)
        return tensor

    def _wait_until(self, deadline: float | None) -> None:
        """Raises KK-O21 when the time is over."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise lost("no answer in time")
        self._socket.settimeout(left)

    def _read(self, buffer: memoryview, deadline: float | None) -> None:
        """Fills ``buffer``."""
        done = 0
        try:
            while done < len(buffer):
                self._wait_until(deadline)
                count = self._socket.recv_into(buffer[done : done + _PIECE_BYTES])
                if not count:
                    raise lost("closed")
                done += count
        except OSError as error:
            raise lost(str(error) or "no answer in time") from None

    def _write(self, data: memoryview, deadline: float | None) -> None:
        done = 0
        try:
            while done < len(data):
                self._wait_until(deadline)
                done += self._socket.send(data[done : done + _PIECE_BYTES])
        except OSError as error:
            raise lost(str(error) or "not taken in time") from None


def _bytes_of(tensor: Tensor) -> memoryview:
    """The values of a contiguous tensor, in place."""
    return tensor.view(-1).view(torch.uint8).numpy().data


def _places(sizes: list[int]) -> tuple[int, ...]:
    """Where each tensor of ``sizes`` bytes begins."""
    return tuple(sum(sizes[:index]) for index in range(len(sizes)))


def _require_a_stream_frame(frame: Frame) -> None:
    """Raises KK-O20 for what only shared memory can carry."""
    if frame.op is Op.ARENA:
        raise refused("operation", frame.op.name, "operations without shared memory")
    found = tuple(item.place for item in frame.descriptors)
    due = _places([item.nbytes for item in frame.descriptors])
    if found != due:
        raise refused("places of tensors", found, due)
