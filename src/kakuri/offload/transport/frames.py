"""Frames: one operation with its integers, floats and tensor descriptors.

Purpose: the only thing that master and workers say to each other; nothing is pickled.
Guarantees: every count, dtype, dimension and length is checked against ``Limits`` before anything is allocated or
mapped; a frame that fails is refused with KK-O20, and no input crashes or hangs ``parse``.
Does not guarantee: that the numbers inside a tensor are right; ``kakuri.offload.verify`` looks at them.

Format, little-endian: ``KKW1``; u16 operation; u8 integers, floats, tensors; u8 zero; i64 each; f64 each; per tensor
u8 dtype, u8 dimensions, six zero bytes, four u64 sizes (1 where unused) and a u64 place, which says where in the
sender's shared memory the values stand.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from enum import IntEnum

import torch
from torch import Tensor

from kakuri.errors import KakuriError

MAGIC = b"KKW1"
_HEAD = struct.Struct("<4sHBBBB")
_TENSOR = struct.Struct("<BB6x4QQ")
HEAD_BYTES = _HEAD.size
_DIMENSIONS = 4
DTYPES: dict[int, torch.dtype] = {1: torch.float32, 2: torch.float64, 3: torch.int64}
_CODES = {dtype: code for code, dtype in DTYPES.items()}


class Op(IntEnum):
    """What is asked for (1 to 99) and what is answered (100 and above)."""

    LOAD = 1
    FORWARD = 2
    BACKWARD = 3
    STEP = 4
    FETCH = 5
    DROP = 6
    MULTIPLY = 7
    CLOSE = 8
    ARENA = 9
    MULTIPLY_SHARES = 10
    DONE = 100
    REFUSED = 101


@dataclass(frozen=True)
class Limits:
    """What a receiver is willing to take. tensor_bytes: of one tensor; frame_bytes: of all tensors of a frame."""

    integers: int = 255
    floats: int = 16
    tensors: int = 8
    tensor_bytes: int = 1 << 32
    frame_bytes: int = 1 << 33


@dataclass(frozen=True)
class Message:
    """tensors: float32, float64 or int64, at most four dimensions."""

    op: Op
    integers: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()
    tensors: tuple[Tensor, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Descriptor:
    """Where a tensor stands and what it looks like."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    place: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Frame:
    """A message whose tensors are still only described."""

    op: Op
    integers: tuple[int, ...]
    floats: tuple[float, ...]
    descriptors: tuple[Descriptor, ...]


def pack(message: Message, places: tuple[int, ...]) -> bytes:
    """The frame of ``message``; ``places[i]``: where the receiver finds tensor i."""
    parts = [
        _HEAD.pack(MAGIC, message.op, len(message.integers), len(message.floats), len(message.tensors), 0),
        struct.pack(f"<{len(message.integers)}q", *message.integers),
        struct.pack(f"<{len(message.floats)}d", *message.floats),
    ]
    for tensor, place in zip(message.tensors, places, strict=True):
        sizes = (*tensor.shape, *(1,) * (_DIMENSIONS - tensor.dim()))
        parts.append(_TENSOR.pack(_CODES[tensor.dtype], tensor.dim(), *sizes, place))
    return b"".join(parts)


def rest_bytes(head: bytes, limits: Limits) -> int:
    """How many bytes follow the first ``HEAD_BYTES``. Raises KK-O20."""
    if len(head) != HEAD_BYTES:
        raise refused("length", len(head), HEAD_BYTES)
    magic, op, integers, floats, tensors, zero = _HEAD.unpack(head)
    if magic != MAGIC or zero:
        raise refused("magic", head[:4].hex(), MAGIC.hex())
    if op not in Op.__members__.values():
        raise refused("operation", op, ", ".join(Op.__members__))
    for name, got, limit in (
        ("integers", integers, limits.integers),
        ("floats", floats, limits.floats),
        ("tensors", tensors, limits.tensors),
    ):
        if got > limit:
            raise refused(name, got, limit)
    size: int = 8 * integers + 8 * floats + _TENSOR.size * tensors
    return size


def parse(head: bytes, rest: bytes, limits: Limits) -> Frame:
    """Raises KK-O20 for anything that ``pack`` does not write within ``limits``."""
    if len(rest) != rest_bytes(head, limits):
        raise refused("length", len(rest), rest_bytes(head, limits))
    _, op, integers, floats, tensors, _ = _HEAD.unpack(head)
    values = struct.unpack_from(f"<{integers}q", rest)
    numbers = struct.unpack_from(f"<{floats}d", rest, 8 * integers)
    start = 8 * (integers + floats)
    found = tuple(_descriptor(rest, start + _TENSOR.size * i, limits) for i in range(tensors))
    total = sum(item.nbytes for item in found)
    if total > limits.frame_bytes:
        raise refused("bytes of all tensors", total, limits.frame_bytes)
    return Frame(Op(op), values, numbers, found)


def _descriptor(data: bytes, at: int, limits: Limits) -> Descriptor:
    code, dimensions, *sizes, place = _TENSOR.unpack_from(data, at)
    if code not in DTYPES:
        raise refused("dtype", code, sorted(DTYPES))
    if any(data[at + 2 : at + 8]):
        raise refused("padding", data[at + 2 : at + 8].hex(), "zeros")
    if dimensions > _DIMENSIONS or any(size != 1 for size in sizes[dimensions:]):
        raise refused("dimensions", dimensions, _DIMENSIONS)
    item = Descriptor(DTYPES[code], tuple(sizes[:dimensions]), place)
    if item.nbytes > limits.tensor_bytes or max(sizes) > limits.tensor_bytes:
        raise refused("bytes of a tensor", item.nbytes, limits.tensor_bytes)
    return item


def refused(what: str, got: object, limit: object) -> KakuriError:
    """KK-O20."""
    return KakuriError("KK-O20", f"not a frame: {what}", got=got, limit=limit)
