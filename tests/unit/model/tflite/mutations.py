"""Mutated .tflite files: damaged bytes, and offsets, lengths and numbers replaced by likely troublemakers."""

from __future__ import annotations

import random
import struct

_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 127, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 32) - 4)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four random changes to the bytes."""
    buffer = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if len(buffer) < 16:
            break
        _CHANGES[rng.randrange(len(_CHANGES))](buffer, rng)
    return bytes(buffer)


def _flip(buffer: bytearray, rng: random.Random) -> None:
    buffer[rng.randrange(len(buffer))] ^= 1 << rng.randrange(8)


def _byte(buffer: bytearray, rng: random.Random) -> None:
    buffer[rng.randrange(8, len(buffer))] = rng.choice((0, 1, 2, 3, 4, 9, 127, 128, 255))


def _number(buffer: bytearray, rng: random.Random) -> None:
    position = rng.randrange(8, len(buffer) - 4) & ~3
    buffer[position : position + 4] = struct.pack("<I", rng.choice(_NUMBERS))


def _nudge(buffer: bytearray, rng: random.Random) -> None:
    """An offset that points a little further or less far."""
    position = rng.randrange(8, len(buffer) - 4) & ~3
    value = struct.unpack_from("<I", buffer, position)[0]
    buffer[position : position + 4] = struct.pack("<I", (value + rng.choice((-8, -4, 4, 8, 12, 64))) % (1 << 32))


def _copy(buffer: bytearray, rng: random.Random) -> None:
    """One part of the file over another: tables of the wrong kind, aliased vectors."""
    length = rng.choice((4, 8, 16, 32))
    source, target = (rng.randrange(8, max(9, len(buffer) - length)) & ~3 for _ in range(2))
    buffer[target : target + length] = buffer[source : source + length]


def _cut(buffer: bytearray, rng: random.Random) -> None:
    del buffer[rng.randrange(8, len(buffer)) :]


_CHANGES = (_flip, _byte, _byte, _number, _number, _nudge, _nudge, _copy, _cut)
