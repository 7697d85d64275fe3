"""A Darknet ``.weights`` file: a short header, then float32 numbers in layer order.

Guarantees: the file must hold exactly the numbers that the network needs; nothing is read before that is known.
Does not guarantee: authenticity; any file of the right length is a set of weights.

The format (little-endian): int32 major, minor, revision; images seen in training as 8 bytes when major * 10 + minor is
at least 2 and both are below 1000, else as 4 bytes; the numbers. A major or minor above 1000 marks files whose fully
connected weights lie with inputs first.
Errors: KK-M44.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.files import open_regular
from kakuri.model.importers.darknet.layers import Planned

Float32 = NDArray[np.float32]


def read_weights(path: Path, layers: Sequence[Planned], limit_bytes: int) -> Iterator[dict[str, Float32]]:
    """The parameters of every layer, by name. Raises KK-F12, KK-F13 and KK-M44 before the first one."""
    with open_regular(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes > limit_bytes:
            raise KakuriError("KK-F13", "file is too large", where=path, got=size_bytes, limit=limit_bytes)
        transposed, header_bytes = _header(file, path)
        wanted = sum(math.prod(shape) for layer in layers for _, shape in layer.parameters)
        if size_bytes != header_bytes + 4 * wanted:
            raise KakuriError(
                "KK-M44",
                "the weights file does not fit the network",
                where=path,
                got=f"{size_bytes} bytes",
                limit=f"{header_bytes} + 4 * {wanted:,} = {header_bytes + 4 * wanted} bytes",
                hint="take the .weights file that was trained with this .cfg",
            )
        for layer in layers:
            old = transposed and layer.transposable
            yield {name: _array(file, path, shape, old and name == "weights") for name, shape in layer.parameters}


def _header(file: BinaryIO, path: Path) -> tuple[bool, int]:
    """Whether connected weights are transposed, and the header's length. ``file`` stands behind it then."""
    start = file.read(12)
    if len(start) < 12:
        raise KakuriError("KK-M44", "not a Darknet weights file", where=path, got=f"{len(start)} bytes")
    major, minor, _ = struct.unpack("<iii", start)
    if min(major, minor) < 0:
        raise KakuriError("KK-M44", "not a Darknet weights file", where=path, got=f"version {major}.{minor}")
    long = major * 10 + minor >= 2 and major < 1000 and minor < 1000
    file.seek(12 + (8 if long else 4))
    return major > 1000 or minor > 1000, 12 + (8 if long else 4)


def _array(file: BinaryIO, path: Path, shape: tuple[int, ...], transposed: bool) -> Float32:
    wanted_bytes = 4 * math.prod(shape)
    parts = bytearray()
    while len(parts) < wanted_bytes and (part := file.read(wanted_bytes - len(parts))):
        parts += part
    if len(parts) < wanted_bytes:
        raise KakuriError("KK-M44", "the weights file became shorter while it was read", where=path)
    array = np.frombuffer(bytes(parts), "<f4").astype(np.float32, copy=False)
    if transposed:
        return array.reshape(shape[::-1]).T
    return array.reshape(shape)
