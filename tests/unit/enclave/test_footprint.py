"""Stack and size of compiled C, and what is refused."""

from __future__ import annotations

import pytest

from kakuri.enclave.optee.footprint import LIBRARY_STACK_BYTES, measure
from kakuri.errors import KakuriError

FRAME = b"int f(int n) { volatile char room[%d]; room[n] = 1; return room[n]; }"


def footprint(code: bytes, compiler: str = "cc"):
    return measure(compiler, {"unit.c": code}, {"unit.c": ("-O2",)}, {})


def test_frames_and_static_memory_are_counted():
    small, large = footprint(FRAME % 100), footprint(FRAME % 20_000)
    assert small.stack_bytes == 2 * LIBRARY_STACK_BYTES
    assert large.stack_bytes - small.stack_bytes >= 16_384
    assert large.stack_bytes % 4096 == 0
    static = footprint(b"char room[100000]; " + FRAME % 100)
    assert 100_000 <= static.code_bytes - small.code_bytes < 101_000


@pytest.mark.parametrize(
    ("code", "compiler", "expected"),
    [
        (b"int f(int n) { volatile char room[n]; room[0] = 1; return room[0]; }", "cc", "KK-W31"),
        (b"int f(", "cc", "KK-G21"),
        (b"int f;", "no-such-compiler", "KK-G20"),
    ],
)
def test_what_cannot_be_bounded_or_compiled_is_refused(code, compiler, expected):
    with pytest.raises(KakuriError) as caught:
        footprint(code, compiler)
    assert caught.value.code == expected
