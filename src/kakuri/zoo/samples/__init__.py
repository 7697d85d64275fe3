"""A small sample of real images that ships with the package.

Purpose: the first 200 images of the official MNIST test set, in their order, so that a demonstration needs no download.
Guarantees: not chosen by anyone (the first 200); the files' SHA-256 is verified at loading.
Does not guarantee: that an accuracy on 200 images says much: its 95 % interval is about two percentage points wide.
Source: the MNIST database; see README.md beside this file for licence and origin.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.zoo.data.idx import parse_idx
from kakuri.zoo.preprocessing import PREPROCESSING

COUNT = 200
_FOLDER = Path(__file__).parent
_IMAGES = (
    "mnist-t10k-first-200-images-idx3-ubyte.gz",
    "420b2e16ea0de6226cb272b43c337a943de254713959643ede826b4b6f9e7f70",
)
_LABELS = (
    "mnist-t10k-first-200-labels-idx1-ubyte.gz",
    "35e471546a21d6ea8a8f2157a0cbcc16c25dcba8115fe3e71d1379e1b393f1e3",
)


@dataclass(frozen=True)
class Sample:
    """images: float32 (n, 1, 28, 28), network input; labels: int64 (n,); pixels: uint8 (n, 1, 28, 28), as published."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    pixels: NDArray[np.uint8]


def mnist_sample() -> Sample:
    """The first 200 images of the MNIST test set. Raises KK-D13 when a shipped file is damaged."""
    pixels = _read(*_IMAGES, shape=(COUNT, 28, 28))[:, None]
    labels = _read(*_LABELS, shape=(COUNT,)).astype(np.int64)
    return Sample(PREPROCESSING.apply(pixels), labels, pixels)


def _read(name: str, sha256: str, *, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    content = (_FOLDER / name).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        hint = "install the package again"
        raise KakuriError("KK-D13", "shipped sample is damaged", where=name, got=found, limit=sha256, hint=hint)
    return parse_idx(content, where=name, limit_bytes=COUNT * 28 * 28).reshape(shape)
