"""Frames from an untrusted side are parsed within limits, or refused; shared memory cannot shrink under a reader."""

from __future__ import annotations

import os
import socket
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.errors import KakuriError
from kakuri.offload.core import Core
from kakuri.offload.serve import serve
from kakuri.offload.transport.arena import Arena
from kakuri.offload.transport.channel import Channel
from kakuri.offload.transport.frames import HEAD_BYTES, Limits, Message, Op, pack, parse, rest_bytes
from kakuri.offload.transport.link import PeerLostError

LIMITS = Limits(tensor_bytes=1 << 20, frame_bytes=1 << 21)

messages = st.builds(
    Message,
    st.sampled_from(list(Op)),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6).map(tuple),
    st.lists(st.floats(allow_nan=False), max_size=4).map(tuple),
    st.lists(
        st.tuples(st.lists(st.integers(0, 9), max_size=4), st.sampled_from([torch.float32, torch.float64])).map(
            lambda item: torch.zeros(item[0], dtype=item[1])
        ),
        max_size=3,
    ).map(tuple),
)


def parsed_bytes(head: bytes, rest: bytes) -> int:
    """Bytes that a frame asks for; 0 when it is refused as it should be. Any other exception goes on."""
    try:
        return sum(item.nbytes for item in parse(head, rest, LIMITS).descriptors)
    except KakuriError as error:
        if error.code != "KK-O20":
            raise
        return 0


@settings(deadline=None)
@given(messages)
def test_what_is_packed_is_parsed(message: Message) -> None:
    places = tuple(64 * i for i in range(len(message.tensors)))
    data = pack(message, places)
    frame = parse(data[:HEAD_BYTES], data[HEAD_BYTES:], LIMITS)
    assert (frame.op, frame.integers, frame.floats) == (message.op, message.integers, message.floats)
    assert [(d.dtype, d.shape, d.place) for d in frame.descriptors] == [
        (t.dtype, tuple(t.shape), p) for t, p in zip(message.tensors, places, strict=True)
    ]


@settings(max_examples=200, deadline=None)
@given(messages, st.data())
def test_damaged_frames_are_refused_or_parsed_within_limits(message: Message, data: st.DataObject) -> None:
    frame = bytearray(pack(message, tuple(64 * i for i in range(len(message.tensors)))))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    head, rest = bytes(frame[:HEAD_BYTES]), bytes(frame[HEAD_BYTES:])
    assert parsed_bytes(head, rest) <= LIMITS.frame_bytes


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_refused_or_parsed(data: bytes) -> None:
    assert parsed_bytes(data[:HEAD_BYTES], data[HEAD_BYTES:]) <= LIMITS.frame_bytes


def test_sizes_that_overflow_are_refused_before_allocation() -> None:
    data = bytearray(pack(Message(Op.FORWARD, tensors=(torch.zeros(2, 2),)), (0,)))
    for at in (8, 16):
        data[HEAD_BYTES + at : HEAD_BYTES + at + 8] = (2**63 + 5).to_bytes(8, "little")
    assert rest_bytes(bytes(data[:HEAD_BYTES]), LIMITS) == len(data) - HEAD_BYTES
    with pytest.raises(KakuriError, match="bytes of a tensor"):
        parse(bytes(data[:HEAD_BYTES]), bytes(data[HEAD_BYTES:]), LIMITS)


def channels(**options: float) -> tuple[Channel, Channel]:
    ours, theirs = socket.socketpair()
    return Channel(ours, limits=LIMITS, **options), Channel(theirs, limits=LIMITS)  # type: ignore[arg-type]


def test_tensors_cross_and_arenas_grow() -> None:
    ours, theirs = channels()
    for rows in (1, 3000, 20):
        sent = (torch.randn(rows, 7), torch.randn(3, dtype=torch.float64), torch.zeros(0, 5))
        ours.send(Message(Op.FORWARD, (1, -2), (0.5,), sent))
        got = theirs.receive()
        assert (got.op, got.integers, got.floats) == (Op.FORWARD, (1, -2), (0.5,))
        assert all(torch.equal(a, b) for a, b in zip(got.tensors, sent, strict=True))
    ours.close()
    with pytest.raises(PeerLostError):
        theirs.receive()
    theirs.close()


def test_a_tensor_without_memory_or_outside_it_is_refused() -> None:
    for place, first in ((0, False), (1 << 20, True), (8, True)):
        ours, theirs = socket.socketpair()
        receiver = Channel(theirs, limits=LIMITS)
        if first:
            arena = Arena.create(4096)
            socket.send_fds(ours, [pack(Message(Op.ARENA), ())], [arena.descriptor])
        ours.sendall(pack(Message(Op.FORWARD, tensors=(torch.zeros(4),)), (place,)))
        with pytest.raises(KakuriError, match="KK-O20"):
            receiver.receive()
        receiver.close()
        ours.close()


def test_memory_that_could_shrink_is_refused() -> None:
    ours, theirs = socket.socketpair()
    unsealed = os.memfd_create("test")
    os.ftruncate(unsealed, 4096)
    socket.send_fds(ours, [pack(Message(Op.ARENA), ())], [unsealed])
    receiver = Channel(theirs)
    with pytest.raises(KakuriError, match="seals"):
        receiver.receive()
    arena = Arena.create(4096)
    with pytest.raises(PermissionError):
        os.ftruncate(arena.descriptor, 0)
    for item in (ours, receiver, arena):
        item.close()
    os.close(unsealed)


def test_silence_ends_in_an_error() -> None:
    ours, theirs = channels(timeout_seconds=0.05)
    ours.send(Message(Op.CLOSE))
    with pytest.raises(PeerLostError):
        ours.receive()
    theirs.close()


def test_a_worker_answers_nonsense_with_a_number_and_stays() -> None:
    ours, theirs = channels()
    thread = threading.Thread(target=serve, args=(theirs, Core()))
    thread.start()
    nonsense = [
        Message(op, integers, floats, tensors)
        for op in Op
        if op not in (Op.CLOSE, Op.ARENA)
        for integers in ((), (1,), (1, 2, 3), (1, 2, 3, 4), (-1,) * 9)
        for floats in ((), (1.0,) * 5)
        for tensors in ((), (torch.zeros(2, 3),), (torch.zeros(2, 3), torch.zeros(4), torch.zeros(1, 1, 1, 1)))
    ]
    for message in nonsense:
        ours.send(message)
        answer = ours.receive()
        assert answer.op is Op.REFUSED or message.op in (Op.DROP, Op.LOAD, Op.MULTIPLY, Op.FETCH, Op.FORWARD)
    ours.send(Message(Op.CLOSE))
    assert ours.receive().op is Op.DONE
    thread.join()
    ours.close()
    theirs.close()
