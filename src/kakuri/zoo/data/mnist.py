"""MNIST.

Purpose: `load_mnist` from the four original IDX files.
Guarantees: exactly 60,000 training and 10,000 test images of 28x28 with labels 0 to 9, or an error; downloaded files
have the published checksums.
Does not guarantee: that files in a folder of yours are the published ones; compare `ImageDataset.digests`.
Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits"; S4, section 5.1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.files import read_bounded
from kakuri.zoo.data.dataset import ImageDataset
from kakuri.zoo.data.fetch import Download, Observer, RemoteFile
from kakuri.zoo.data.folders import find
from kakuri.zoo.data.idx import parse_idx

PROVENANCE = (
    "MNIST database of handwritten digits, Yann LeCun, Corinna Cortes, Christopher J. C. Burges; derived from NIST "
    "Special Databases 1 and 3; Creative Commons Attribution-Share Alike 3.0 as commonly stated"
)

_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")


def _remote(name: str, size_bytes: int, sha256: str) -> RemoteFile:
    return RemoteFile(name, tuple(mirror + name for mirror in _MIRRORS), size_bytes, sha256)


FILES = (
    _remote("train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    _remote("train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    _remote("t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    _remote("t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)


def load_mnist(
    folder: Path | str | None = None, *, download: bool = True, observe: Observer | None = None
) -> ImageDataset:
    """images uint8 (60000, 1, 28, 28) and (10000, 1, 28, 28), background 0.

    folder: where the four IDX files are (gzip-compressed or not), directly or in its ``mnist/``. Without it,
    ``KAKURI_DATA`` and then the cache are searched, and at last the files are downloaded into the cache.
    download: False forbids that. observe: called with each `Download` state.
    Raises KK-D20 when nothing is found, KK-D21 and KK-D22 for a failed download, KK-D10 and KK-F13 for malformed or
    oversized files, KK-D12 for another number or size of images.
    """
    files = find("mnist", FILES, folder, alternatives=_unpacked, download=download, observe=observe)
    train_images, train_labels, test_images, test_labels = (_read(file) for file in files)
    return ImageDataset(
        "MNIST",
        _images(train_images, 60_000, files[0]),
        _labels(train_labels, 60_000, files[1]),
        _images(test_images, 10_000, files[2]),
        _labels(test_labels, 10_000, files[3]),
        PROVENANCE,
    )


def _unpacked(name: str) -> tuple[str, ...]:
    """The published name, without .gz, and as some archives write it."""
    plain = name.removesuffix(".gz")
    return (name, plain, plain.replace("-idx", ".idx"))


_LIMIT_BYTES = 60_000 * 28 * 28


def _read(file: Path) -> NDArray[np.uint8]:
    content = read_bounded(file, limit_bytes=_LIMIT_BYTES + 16)
    return parse_idx(content, where=str(file), limit_bytes=_LIMIT_BYTES)


def _images(array: NDArray[np.uint8], count: int, file: Path) -> NDArray[np.uint8]:
    return _shaped(array, (count, 28, 28), file)[:, None].copy()


def _labels(array: NDArray[np.uint8], count: int, file: Path) -> NDArray[np.int64]:
    return _shaped(array, (count,), file).astype(np.int64)


def _shaped(array: NDArray[np.uint8], shape: tuple[int, ...], file: Path) -> NDArray[np.uint8]:
    if array.shape != shape:
        raise KakuriError("KK-D12", "not the MNIST file of that name", where=file, got=array.shape, limit=shape)
    return array


__all__ = ["FILES", "PROVENANCE", "Download", "load_mnist"]
