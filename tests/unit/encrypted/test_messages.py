"""Frames between client and server: round trips, refusals, and mutated input."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kakuri.encrypted.messages import Answer, Query, expect
from kakuri.errors import KakuriError

DIGEST = bytes(range(32))


@given(st.integers(0, 2**32 - 1), st.lists(st.binary(max_size=40), max_size=6))
def test_round_trip(samples, ciphertexts):
    query = Query(samples, DIGEST, tuple(ciphertexts))
    data = query.to_bytes()
    assert Query.from_bytes(data) == query
    assert len(data) == query.nbytes


def test_an_answer_is_no_query():
    with pytest.raises(KakuriError, match="KK-F40"):
        Query.from_bytes(Answer(1, DIGEST, (b"x",)).to_bytes())


def test_every_single_bit_flip_is_noticed():
    data = bytearray(Query(1, DIGEST, (b"ab", b"", b"cde")).to_bytes())
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(KakuriError, match=r"KK-F4[01]"):
            Query.from_bytes(bytes(data))
        data[bit // 8] ^= 1 << bit % 8


def test_every_truncation_is_noticed():
    data = Query(1, DIGEST, (b"ab", b"cde")).to_bytes()
    for end in range(len(data)):
        with pytest.raises(KakuriError, match=r"KK-F4[01]"):
            Query.from_bytes(data[:end])


def test_forged_lengths_allocate_nothing():
    """A valid checksum over a length field that promises more than there is."""
    for offset in (8, 44):  # ciphertext count, first length
        body = bytearray(Query(1, DIGEST, (b"ab", b"cde")).to_bytes()[:-4])
        body[offset : offset + 4] = b"\xff\xff\xff\xff"
        with pytest.raises(KakuriError, match="KK-F41"):
            Query.from_bytes(bytes(body) + zlib.crc32(body).to_bytes(4, "little"))


def test_mutations_with_valid_checksum_are_refused_or_parsed():
    """100,000 random edits, each given a right checksum so that the parser behind it is reached."""
    chooser = random.Random(7)
    original = Query(2, DIGEST, (b"0123456789", b"", b"abc")).to_bytes()[:-4]
    parsed = 0
    refused: set[str] = set()
    for _ in range(100_000):
        body = bytearray(original)
        for _ in range(chooser.randrange(1, 4)):
            match chooser.randrange(4):
                case 0:
                    body[chooser.randrange(len(body))] = chooser.randrange(256)
                case 1:
                    del body[chooser.randrange(len(body)) :]
                    body = body or bytearray(b"K")
                case 2:
                    body += chooser.randbytes(chooser.randrange(1, 20))
                case _:
                    at = chooser.randrange(len(body))
                    body[at:at] = chooser.randbytes(chooser.randrange(1, 9))
        data = bytes(body) + zlib.crc32(body).to_bytes(4, "little")
        try:
            query = Query.from_bytes(data)
        except KakuriError as error:
            refused.add(error.code)
        else:
            parsed += 1
            assert query.to_bytes() == data
    assert refused == {"KK-F40", "KK-F41"}
    assert parsed > 1000  # the corpus reaches both outcomes


def test_expectations():
    query = Query(1, DIGEST, (b"a", b"b"))
    expect(query, DIGEST, 2, 1)
    with pytest.raises(KakuriError, match="KK-F42"):
        expect(query, bytes(32), 2, 1)
    with pytest.raises(KakuriError, match="KK-F43"):
        expect(query, DIGEST, 3, 1)
    for samples in (0, 2):
        with pytest.raises(KakuriError, match="KK-F43"):
            expect(Query(samples, DIGEST, (b"a", b"b")), DIGEST, 2, 1)
