"""Labelled images in memory.

Purpose: what every loader returns and every trainer takes.
Guarantees: dtypes, shapes and label range are checked at construction (KK-D01, every problem at once).
Does not guarantee: that train and test are disjoint.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError, Problem

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ImageDataset:
    """train_images, test_images: uint8 (n, c, h, w). train_labels, test_labels: int64 (n,), 0 to classes - 1.

    provenance: where the bytes came from and under which terms, as text for records and model cards.
    Raises KK-D01 when shapes, dtypes or labels disagree.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    provenance: str
    classes: int = 10

    def __post_init__(self) -> None:
        problems = [
            *self._problems("train", self.train_images, self.train_labels),
            *self._problems("test", self.test_images, self.test_labels),
        ]
        if problems:
            raise KakuriError.collect(problems)

    def _problems(self, part: str, images: Images, labels: Labels) -> list[Problem]:
        where = f"{self.name} {part}"
        found = []
        if images.dtype != np.uint8 or images.ndim != 4:
            got = f"{images.dtype} {images.shape}"
            found.append(Problem("KK-D01", "images are not uint8 (n, c, h, w)", f"{where} images", got))
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            got = f"{labels.dtype} {labels.shape}"
            found.append(Problem("KK-D01", "labels are not int64 (n,)", f"{where} labels", got, f"({len(images)},)"))
        elif labels.size and not (labels.min() >= 0 and labels.max() < self.classes):
            got = f"{labels.min()} to {labels.max()}"
            found.append(Problem("KK-D01", "label out of range", f"{where} labels", got, f"0 to {self.classes - 1}"))
        return found

    def hold_out(self, count: int) -> ImageDataset:
        """The last ``count`` training images become the test part; the real test part is left out of reach.

        Everything that chooses (recipe, seed, epoch) works on this one. Raises KK-D02 when count is not in 1 to n - 1.
        """
        if not 1 <= count < len(self.train_images):
            limit = f"1 to {len(self.train_images) - 1}"
            raise KakuriError("KK-D02", "cannot hold out that many images", where=self.name, got=count, limit=limit)
        return ImageDataset(
            f"{self.name}, last {count} training images held out",
            self.train_images[:-count],
            self.train_labels[:-count],
            self.train_images[-count:],
            self.train_labels[-count:],
            self.provenance,
            self.classes,
        )

    def digests(self) -> dict[str, str]:
        """SHA-256 of each array's bytes in C order: what a record needs to name the exact data."""
        arrays = {
            "train_images": self.train_images,
            "train_labels": self.train_labels,
            "test_images": self.test_images,
            "test_labels": self.test_labels,
        }
        return {name: hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() for name, array in arrays.items()}
