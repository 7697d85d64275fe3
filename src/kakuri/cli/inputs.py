"""Reading what people have: pictures, arrays, MNIST files, folders of pictures.

Purpose: files -> float32 arrays of one sample's shape, for encryption and calibration.
Guarantees: sizes are checked before memory is taken; nothing is unpickled; a file that is not what its first bytes say
is refused with KK-D30, one that is too large with KK-F13 or KK-D31.
Does not guarantee: the network's own preprocessing. Pixels of pictures and IDX files are divided by 255, as the
networks of ``kakuri.zoo`` expect; values in ``.npy`` files are taken as they are.
"""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kakuri.errors import KakuriError
from kakuri.files import read_bounded
from kakuri.zoo.data.idx import parse_idx
from kakuri.zoo.preprocessing import PREPROCESSING

Float32 = NDArray[np.float32]
MAX_FILE_BYTES = 1 << 30
MAX_PIXELS = 1 << 26
PICTURES = ("PNG", "JPEG", "BMP", "WEBP")
_MAX_HEADER_BYTES, _MAX_AXES = 4096, 8
_NPY_HEADER = re.compile(
    rb"\{'descr': '(?P<dtype>[<>|](?:f[248]|[iu][1248]|b1))', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:[0-9]{1,12}, ?)*(?:[0-9]{1,12})?)\), ?\} *\n"
)
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".npy"})


def read_samples(paths: Sequence[Path], shape: tuple[int, ...]) -> Float32:
    """All samples of ``paths`` (n, *shape). Folders give their pictures and arrays in the order of their names."""
    parts = [_read(path, shape) for given in paths for path in _files(given)]
    if not parts:
        raise KakuriError("KK-D30", "no inputs found", where=", ".join(map(str, paths)), limit="pictures, .npy or IDX")
    return np.concatenate(parts)


def read_labels(path: Path) -> NDArray[np.int64]:
    """Class numbers (n,) from a .npy or IDX file."""
    content = read_bounded(path, limit_bytes=MAX_FILE_BYTES)
    if content[:6] == b"\x93NUMPY":
        return read_npy(content, path).reshape(-1).astype(np.int64)
    return parse_idx(content, where=str(path), limit_bytes=MAX_FILE_BYTES).reshape(-1).astype(np.int64)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(item for item in path.iterdir() if item.suffix.lower() in _SUFFIXES)
    return [path]


def _read(path: Path, shape: tuple[int, ...]) -> Float32:
    content = read_bounded(path, limit_bytes=MAX_FILE_BYTES)
    if content[:6] == b"\x93NUMPY":
        values = read_npy(content, path)
    elif content[:2] in {b"\0\0", b"\x1f\x8b"}:
        values = PREPROCESSING.apply(parse_idx(content, where=str(path), limit_bytes=MAX_FILE_BYTES))
    else:
        values = PREPROCESSING.apply(_picture(content, path, shape))
    return _as_samples(values, shape, path)


def _as_samples(values: Float32, shape: tuple[int, ...], path: Path) -> Float32:
    """(n, *shape): accepts one sample, many, and either without its channel axis of 1."""
    wanted = math.prod(shape)
    without = tuple(d for d in shape if d != 1)
    for single in (shape, shape[1:] if shape[:1] == (1,) else shape, without):
        if values.shape == single:
            return values.reshape(1, *shape)
        if values.ndim == len(single) + 1 and values.shape[1:] == single and len(values):
            return values.reshape(-1, *shape)
    raise KakuriError(
        "KK-E40",
        "the input has the wrong shape",
        where=path,
        got=values.shape,
        limit=f"{shape} ({wanted} values), or many of them",
        hint="scale or crop it first; pictures are not resized silently",
    )


def read_npy(content: bytes, path: Path) -> Float32:
    """A ``.npy`` file's real numbers, as numpy writes them (NEP 1, versions 1 and 2; the header is never evaluated)."""
    large = content[6:7] == b"\2"
    start = 12 if large else 10
    length = int.from_bytes(content[8:start], "little")
    header = _NPY_HEADER.fullmatch(content[start : start + length])
    if (
        content[:6] != b"\x93NUMPY"
        or content[6:8] not in {b"\1\0", b"\2\0"}
        or length > _MAX_HEADER_BYTES
        or not header
    ):
        raise _unusable(path, "the header is not that of an array of real numbers")
    shape = tuple(int(d) for d in header["shape"].split(b",") if d.strip())
    data = content[start + length :]
    dtype = np.dtype(header["dtype"].decode())
    if len(shape) > _MAX_AXES or math.prod(shape) * dtype.itemsize != len(data):
        raise _unusable(path, f"{len(data)} bytes do not fill the shape {shape}")
    order: Literal["F", "C"] = "F" if header["fortran"] == b"True" else "C"
    with np.errstate(over="ignore"):
        return np.frombuffer(data, dtype).reshape(shape, order=order).astype(np.float32)


def _unusable(path: Path, what: str) -> KakuriError:
    return KakuriError("KK-D30", "not a usable .npy file", where=path, got=what, hint="save it with numpy.save")


def _picture(content: bytes, path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(channels, height, width) uint8, with as many channels as ``shape`` has."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content), formats=PICTURES)
            if picture.width * picture.height > MAX_PIXELS:
                raise KakuriError(
                    "KK-D31", "the picture is too large", where=path, got=picture.size, limit=f"{MAX_PIXELS} pixels"
                )
            channels = shape[0] if len(shape) == 3 else 1
            pixels = np.asarray(picture.convert("RGB" if channels == 3 else "L"))
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError, struct.error) as error:
        text = f"{type(error).__name__}: {error}"
        raise KakuriError(
            "KK-D30",
            "not a picture, .npy or IDX file that can be read",
            where=path,
            got=text[:120],
            limit=", ".join(PICTURES),
        ) from None
    return np.moveaxis(pixels, -1, 0).copy() if pixels.ndim == 3 else pixels[None].copy()
