"""Shared by the zoo's tests: a tiny labelled data set whose classes are easy to tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kakuri.zoo.data import ImageDataset


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Bit-identical sums need a fixed number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def stripes() -> ImageDataset:
    """320 training and 100 test images of 28x28: class k is a bright bar at rows 2k + 4, over noise."""
    random = np.random.default_rng(0)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = random.integers(0, 10, count)
        images = random.integers(0, 60, (count, 1, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[0, 2 * label + 4 : 2 * label + 6] += 150
        return images, labels.astype(np.int64)

    return ImageDataset("stripes", *part(320), *part(100), provenance="drawn by the tests")
