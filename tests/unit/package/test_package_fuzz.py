"""100,000 mutated packages: a typed refusal, or a package that gives exactly what the original gave."""

from __future__ import annotations

import os
import random
import tracemalloc
from pathlib import Path

import pytest

from kakuri import package
from kakuri.errors import KakuriError

ENTRIES = {"a.onnx": b"model" * 7, "b.bin": bytes(range(97)), "empty": b""}
LIMITS = package.Limits(
    package_bytes=1 << 20, entry_bytes=1 << 16, read_bytes=1 << 16, entries=8, manifest_bytes=1 << 14
)
INTERESTING = [0, 1, 0x7F, 0x80, 0xFF]


def mutate(data: bytes, random_: random.Random) -> bytes:
    """One to three of: bit flip, byte set, integer overwrite, truncation, extension, deletion, duplication, splice."""
    result = bytearray(data)
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        at = random_.randrange(len(result) + 1) if result else 0
        match random_.randrange(8):
            case 0 if result:
                result[at % len(result)] ^= 1 << random_.randrange(8)
            case 1 if result:
                result[at % len(result)] = random_.choice(INTERESTING)
            case 2:
                width = random_.choice((2, 4, 8))
                value = random_.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, random_.getrandbits(64)))
                result[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
            case 3:
                del result[at:]
            case 4:
                result += random_.randbytes(random_.choice((1, 22, 100, 4000)))
            case 5:
                del result[at : at + random_.choice((1, 4, 64))]
            case 6:
                result[at:at] = result[at : at + random_.choice((1, 46, 64, 300))]
            case _:
                result[at : at + 8] = random_.randbytes(8)
    return bytes(result)


def check(target: Path) -> str:
    """'' when the package is the original in all it gives, else the refusal's code."""
    try:
        with package.open_package(target, LIMITS) as opened:
            opened.verify()
            assert (opened.room, opened.content, opened.names) == ("encrypted", {"n": [1, 2.5]}, tuple(sorted(ENTRIES)))
            for name in opened.names:
                assert opened.read(name) == ENTRIES[name] == bytes(opened.view(name))
    except KakuriError as error:
        return error.code
    return ""


@pytest.fixture
def original(tmp_path: Path) -> bytes:
    package.write(tmp_path / "o.kkr", "encrypted", {"n": [1, 2.5]}, ENTRIES)
    return (tmp_path / "o.kkr").read_bytes()


def fuzz(target: Path, original: bytes, count: int, seed: int) -> dict[str, int]:
    random_ = random.Random(seed)
    seen: dict[str, int] = {}
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT)
    try:
        for _ in range(count):
            data = mutate(original, random_)
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
            code = check(target)
            seen[code] = seen.get(code, 0) + 1
    finally:
        os.close(descriptor)
    return seen


def test_a_hundred_thousand_mutations(tmp_path: Path, original: bytes) -> None:
    seen = fuzz(tmp_path / "f.kkr", original, 100_000, seed=2)
    assert set(seen) <= {"", "KK-F21", "KK-F22", "KK-F25", "KK-F27", "KK-F29"}
    assert min(seen.get(code, 0) for code in ("KK-F21", "KK-F22", "KK-F25", "KK-F29")) > 100  # every layer was reached


def test_every_single_bit_flip_is_seen(tmp_path: Path, original: bytes) -> None:
    """Except in an entry's CRC-32, which only zip tools read: it stands twice, and the copies must agree."""
    target = tmp_path / "f.kkr"
    for at in range(8 * len(original)):
        data = bytearray(original)
        data[at // 8] ^= 1 << (at % 8)
        target.write_bytes(data)
        assert check(target) != "", f"bit {at}"


def test_every_truncation_is_seen(tmp_path: Path, original: bytes) -> None:
    target = tmp_path / "f.kkr"
    for length in range(len(original)):
        target.write_bytes(original[:length])
        assert check(target) != "", length


def test_no_mutation_makes_the_reader_allocate_beyond_its_limits(tmp_path: Path, original: bytes) -> None:
    target = tmp_path / "f.kkr"
    random_ = random.Random(3)
    worst = 0
    tracemalloc.start()
    try:
        for _ in range(3000):
            target.write_bytes(mutate(original, random_))
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            check(target)
            worst = max(worst, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert worst < 20 * len(original)  # tiny, and far below LIMITS.package_bytes
