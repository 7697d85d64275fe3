"""CIFAR-10.

Purpose: `load_cifar10` from lossless WebP sheets or from the official binary archive.
Guarantees: exactly 50,000 training and 10,000 test images of 32x32 RGB with labels 0 to 9, or an error; a downloaded
archive has the published checksum; nothing is unpickled (the official Python archive is not read for that reason).
Does not guarantee: that sheets hold the original pixels; the note in `ImageDataset.provenance` says how many do.
Source: Krizhevsky, "Learning multiple layers of features from tiny images" (2009); S4, section 5.1.
"""

from __future__ import annotations

from pathlib import Path

from kakuri.zoo.data.cifar10_archive import read_archive
from kakuri.zoo.data.cifar10_sheets import SHEETS, read_sheets
from kakuri.zoo.data.dataset import ImageDataset
from kakuri.zoo.data.fetch import Observer, RemoteFile
from kakuri.zoo.data.folders import candidates, find

PROVENANCE = (
    "CIFAR-10, Alex Krizhevsky, Vinod Nair, Geoffrey Hinton; no formal licence, research use, cite the technical report"
)

ARCHIVE = RemoteFile(
    "cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    170052171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)


def load_cifar10(
    folder: Path | str | None = None, *, download: bool = True, observe: Observer | None = None
) -> ImageDataset:
    """images uint8 (50000, 3, 32, 32) and (10000, 3, 32, 32), channels in the order red, green, blue.

    folder: where ``cifar-10-binary.tar.gz`` or the 60 sheets and ``labels.npz`` are, directly or in its ``cifar10/``.
    Without it, ``KAKURI_DATA`` and then the cache are searched, and at last the archive is downloaded into the cache.
    download: False forbids that. observe: called with each `Download` state.
    Raises KK-D20 when nothing is found, KK-D21 and KK-D22 for a failed download, KK-D11 for malformed bytes.
    """
    for place in candidates("cifar10", folder):
        if all((place / name).is_file() for name in SHEETS):
            arrays, note = read_sheets(place)
            return ImageDataset("CIFAR-10", *arrays, provenance=f"{PROVENANCE}; {note}")
    (archive,) = find("cifar10", (ARCHIVE,), folder, download=download, observe=observe)
    return ImageDataset("CIFAR-10", *read_archive(archive), provenance=PROVENANCE)
