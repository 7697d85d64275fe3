"""CIFAR-10 as lossless WebP sheets.

Purpose: 60 sheets of 1,000 images (25 rows of 40, row-major, original order) and ``labels.npz`` to arrays.
Guarantees: file sizes, image sizes and array sizes are checked before anything is decoded; no pickle is read.
Does not guarantee: original pixels; `read_sheets` returns a note that counts the images flagged as exact.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from kakuri.errors import KakuriError
from kakuri.files import read_bounded

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]

_ROWS, _COLUMNS, _SIDE = 25, 40, 32
_SIZE = (_COLUMNS * _SIDE, _ROWS * _SIDE)
_SHEET_LIMIT_BYTES = 8_000_000
_LABELS_LIMIT_BYTES = 1_000_000
_TRAIN = tuple(f"train_{i:02}.webp" for i in range(50))
_TEST = tuple(f"test_{i:02}.webp" for i in range(10))
SHEETS = ("labels.npz", *_TRAIN, *_TEST)


def read_sheets(folder: Path) -> tuple[Arrays, str]:
    """((train images, train labels, test images, test labels), note). Raises KK-D11 for malformed files."""
    labels = _read_labels(folder / "labels.npz")
    train = np.concatenate([read_sheet(folder / name) for name in _TRAIN])
    test = np.concatenate([read_sheet(folder / name) for name in _TEST])
    exact = int(labels["train_lossless"].sum() + labels["test_lossless"].sum())
    note = f"{exact:,} of 60,000 images have the original pixels, the others come from a JPEG copy"
    return (train, labels["train"].astype(np.int64), test, labels["test"].astype(np.int64)), note


def read_sheet(file: Path) -> NDArray[np.uint8]:
    """One sheet as uint8 (1000, 3, 32, 32)."""
    try:
        with Image.open(io.BytesIO(read_bounded(file, limit_bytes=_SHEET_LIMIT_BYTES)), formats=("WEBP",)) as image:
            if image.size != _SIZE or image.mode != "RGB":
                raise _bad(
                    file, "not a sheet of 25 x 40 images", got=f"{image.size} {image.mode}", limit=f"{_SIZE} RGB"
                )
            pixels = np.asarray(image)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise _bad(file, "not a readable WebP image", got=str(error)) from error
    grid = pixels.reshape(_ROWS, _SIDE, _COLUMNS, _SIDE, 3).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(grid.reshape(_ROWS * _COLUMNS, 3, _SIDE, _SIDE))


def _read_labels(file: Path) -> dict[str, NDArray[np.generic]]:
    """train, test: uint8; train_lossless, test_lossless: bool."""
    expected = {
        "train": (np.uint8, 50_000),
        "test": (np.uint8, 10_000),
        "train_lossless": (np.bool_, 50_000),
        "test_lossless": (np.bool_, 10_000),
    }
    try:
        content = io.BytesIO(read_bounded(file, limit_bytes=_LABELS_LIMIT_BYTES))
        with zipfile.ZipFile(content) as packed:
            unpacked_bytes = sum(member.file_size for member in packed.infolist())
        if unpacked_bytes > _LABELS_LIMIT_BYTES:
            raise _bad(file, "labels unpack to too much", got=f"{unpacked_bytes} bytes", limit=f"{_LABELS_LIMIT_BYTES}")
        with np.load(content, allow_pickle=False) as arrays:
            labels = {name: np.asarray(arrays[name]) for name in expected}
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError, NotImplementedError) as error:
        raise _bad(file, "not a readable labels.npz", got=str(error)) from error
    for name, (dtype, count) in expected.items():
        if labels[name].dtype != dtype or labels[name].shape != (count,):
            got = f"{labels[name].dtype} {labels[name].shape}"
            raise _bad(file, f"array {name} has another type or shape", got=got, limit=f"({count},)")
    return labels


def _bad(file: Path, what: str, got: str = "", limit: str = "") -> KakuriError:
    return KakuriError("KK-D11", what, where=file, got=got, limit=limit, hint="fetch the file again")
