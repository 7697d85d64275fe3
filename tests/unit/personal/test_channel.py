"""The channel accepts one shape of conversation, whatever a child sends."""

from __future__ import annotations

import io
import os
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kakuri import KakuriError
from kakuri.personal import channel

REPORT = channel.Report(100, 90, 80, 2, 60, 3)


def spoken(epochs: int) -> bytes:
    reader, writer = os.pipe()
    speaker = channel.Speaker(writer)
    for index in range(epochs):
        speaker.epoch(index, 1.53)
    speaker.result(REPORT)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        return file.read()


def heard(data: bytes, epochs: int) -> list[channel.Progress | channel.Report]:
    return list(channel.listen(io.BytesIO(data), epochs))


@pytest.mark.parametrize("epochs", [0, 1, 7])
def test_what_is_said_is_heard(epochs: int) -> None:
    *progress, last = heard(spoken(epochs), epochs)
    assert last == REPORT
    assert progress == [channel.Progress(index, 1.5) for index in range(epochs)]


def test_a_run_that_goes_on_may_begin_late() -> None:
    data = spoken(5)[3 * 16 :]
    assert heard(data, 5)[0] == channel.Progress(3, 1.5)


@given(st.binary(max_size=80))
@example(spoken(2) + b"x")
@example(spoken(3)[16 * 2 :] + spoken(1))
@example(spoken(1)[:16] * 2 + spoken(0))
@example(spoken(4))
@example(struct.pack(">BBH6H", 2, 0, 0, 5, 6, 0, 0, 0, 0))
@example(struct.pack(">BBH6H", 1, 0, 0, 1, 0, 0, 0, 0, 0))
@example(struct.pack(">BBH6H", 3, ord("Q"), 1, 0, 0, 0, 0, 0, 0))
def test_anything_else_is_refused(data: bytes) -> None:
    """Two epochs were fixed."""
    with pytest.raises(KakuriError) as caught:
        heard(data, 2)
    assert caught.value.code in {"KK-P30", "KK-P31"}


@given(st.binary(max_size=400), st.integers(0, 10))
def test_no_more_is_read_than_the_capacity(noise: bytes, epochs: int) -> None:
    stream = io.BytesIO(spoken(epochs) + noise)
    if noise:
        with pytest.raises(KakuriError):
            list(channel.listen(stream, epochs))
    assert 8 * stream.tell() <= 16 * channel.capacity_bits(epochs) + 8
    assert channel.capacity_bits(60) == 608


def test_an_error_crosses_as_a_code_alone() -> None:
    reader, writer = os.pipe()
    channel.Speaker(writer).error("KK-D30")
    os.close(writer)
    with os.fdopen(reader, "rb") as file, pytest.raises(KakuriError) as caught:
        list(channel.listen(file, 3))
    assert caught.value.code == "KK-D30"
    assert not caught.value.problem.got
