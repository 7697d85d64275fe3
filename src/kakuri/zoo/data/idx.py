"""The IDX format of the MNIST files.

Purpose: bytes of an IDX file, gzip-compressed or not, to a uint8 array.
Guarantees: every length is checked before memory is taken; decompression stops at the declared limit; the array's size
equals the header's product exactly, with no byte left over. Malformed bytes raise KK-D10 and nothing else.
Does not guarantee: anything about the content. Element types other than unsigned byte are refused.
Source: the IDX description on the MNIST page: two zero bytes, type code, rank, big-endian 32-bit dimensions, data.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError

UNSIGNED_BYTE = 0x08
MAX_RANK = 4


def parse_idx(content: bytes, *, where: str, limit_bytes: int) -> NDArray[np.uint8]:
    """The array in ``content``; where: a name for messages; limit_bytes: most bytes the data may take unpacked.

    Raises KK-D10 for anything that is not exactly one IDX file of unsigned bytes within the limit.
    """
    if content[:2] == b"\x1f\x8b":
        content = _gunzip(content, where=where, limit_bytes=limit_bytes + 4 + 4 * MAX_RANK)
    if len(content) < 4:
        raise _bad(where, "file is shorter than an IDX header", got=f"{len(content)} bytes", limit="4 bytes")
    zero, kind, rank = struct.unpack_from(">HBB", content)
    if zero != 0 or kind != UNSIGNED_BYTE or not 1 <= rank <= MAX_RANK:
        raise _bad(
            where, "not an IDX file of unsigned bytes", got=content[:4].hex(" "), limit="00 00 08 01 to 00 00 08 04"
        )
    start = 4 + 4 * rank
    if len(content) < start:
        raise _bad(where, "IDX header is cut short", got=f"{len(content)} bytes", limit=f"{start} bytes")
    shape = struct.unpack_from(f">{rank}I", content, 4)
    size_bytes = math.prod(shape)
    if size_bytes > limit_bytes:
        raise _bad(where, "IDX data is too large", got=f"{size_bytes} bytes", limit=f"{limit_bytes} bytes")
    if len(content) - start != size_bytes:
        raise _bad(
            where, "IDX length differs from its header", got=f"{len(content) - start}", limit=f"{size_bytes} bytes"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def write_idx(array: NDArray[np.uint8]) -> bytes:
    """The IDX file of a uint8 array of rank 1 to 4; the inverse of `parse_idx`."""
    if array.dtype != np.uint8 or not 1 <= array.ndim <= MAX_RANK:
        raise _bad("array", "only uint8 of rank 1 to 4", got=f"{array.dtype} rank {array.ndim}", limit="uint8")
    return struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTE, array.ndim, *array.shape) + array.tobytes()


def _gunzip(content: bytes, *, where: str, limit_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(content, limit_bytes + 1)
    except zlib.error as error:
        raise _bad(where, "gzip data is damaged") from error
    if len(unpacked) > limit_bytes:
        raise _bad(where, "gzip unpacks to more than allowed", got=f"over {limit_bytes}", limit=f"{limit_bytes} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise _bad(where, "gzip data is cut short or followed by other bytes", got=f"{len(content)} bytes")
    return unpacked


def _bad(where: str, what: str, got: str = "", limit: str = "") -> KakuriError:
    return KakuriError("KK-D10", what, where=where, got=got, limit=limit, hint="fetch the file again")
