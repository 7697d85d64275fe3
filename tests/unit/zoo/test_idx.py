"""The IDX parser: golden bytes, round trip, and nothing but KK-D10 for damaged input."""

from __future__ import annotations

import contextlib
import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kakuri.errors import KakuriError
from kakuri.zoo.data.idx import parse_idx, write_idx

shapes = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)


def test_golden_bytes() -> None:
    """Written by hand from the format's description: type 8, rank 2, 2 x 3."""
    content = bytes.fromhex("00000802 00000002 00000003 010203fdfeff".replace(" ", ""))
    expected = np.array([[1, 2, 3], [253, 254, 255]], dtype=np.uint8)
    assert np.array_equal(parse_idx(content, where="x", limit_bytes=6), expected)
    assert write_idx(expected) == content


@given(arrays.arrays(np.uint8, shapes), st.booleans())
def test_round_trip(array: np.ndarray, packed: bool) -> None:
    content = write_idx(array)
    again = parse_idx(gzip.compress(content) if packed else content, where="x", limit_bytes=array.size)
    assert again.shape == array.shape
    assert np.array_equal(again, array)


def refused(content: bytes, limit_bytes: int = 1000) -> KakuriError:
    with pytest.raises(KakuriError) as error:
        parse_idx(content, where="x", limit_bytes=limit_bytes)
    assert error.value.code == "KK-D10"
    return error.value


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation_is_refused(packed: bool) -> None:
    content = write_idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    content = gzip.compress(content) if packed else content
    for length in range(len(content)):
        refused(content[:length])
    refused(content + b"\0")


def test_header_that_promises_too_much() -> None:
    huge = bytes.fromhex("00000804" + "ffffffff" * 4) + bytes(64)
    assert "too large" in refused(huge).problem.what


def test_gzip_bomb_stops_at_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert "unpacks to more" in refused(bomb, limit_bytes=1000).problem.what


@settings(max_examples=500)
@given(st.binary(max_size=64), st.sampled_from([b"", b"\x00\x00\x08\x01", b"\x1f\x8b\x08", b"\x00\x00\x08\x03"]))
def test_arbitrary_bytes(tail: bytes, head: bytes) -> None:
    accepted = None
    with contextlib.suppress(KakuriError):
        accepted = parse_idx(head + tail, where="x", limit_bytes=64)
    if accepted is None:
        refused(head + tail, limit_bytes=64)
    else:
        assert accepted.size <= 64
        assert write_idx(accepted) == head + tail


def test_other_element_types_are_refused() -> None:
    for kind in (0x09, 0x0B, 0x0C, 0x0D, 0x0E, 0x00):
        refused(bytes([0, 0, kind, 1, 0, 0, 0, 0]))
    with pytest.raises(KakuriError):
        write_idx(np.zeros(3, dtype=np.int32))  # type: ignore[arg-type]
