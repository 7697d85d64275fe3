"""Where an epoch's batches come from.

Purpose: batches augmented afresh every epoch, with a teacher's answers where there is one.
Guarantees: an epoch is a function of the source and the generator; every training image appears exactly once in it.
Does not guarantee: that a teacher would answer the same for the distorted image; it is asked once per original image,
which costs nothing per epoch and, for distortions that keep the label, compares as well (training_record.json of S4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kakuri.zoo.data.dataset import ImageDataset
from kakuri.zoo.training.augment import Augmentation, augment
from kakuri.zoo.training.evaluate import logits_of, to_input


@dataclass(frozen=True)
class Batch:
    """images: float32 (b, c, h, w), network input; labels: int64 (b,); teacher: float32 (b, classes) or None."""

    images: Tensor
    labels: Tensor
    teacher: Tensor | None


@dataclass(frozen=True)
class Source:
    """images: uint8 (n, c, h, w); labels: int64 (n,); teacher: float32 (n, classes), answers to the images, or None."""

    images: Tensor
    labels: Tensor
    settings: Augmentation
    teacher: Tensor | None = None

    @classmethod
    def of(cls, dataset: ImageDataset, settings: Augmentation, teachers: Sequence[nn.Module] = ()) -> Source:
        """The training part of ``dataset``; with teachers, the mean of their logits goes with each image."""
        images = torch.from_numpy(dataset.train_images)
        answers = torch.stack([logits_of(teacher, images) for teacher in teachers]).mean(0) if teachers else None
        return cls(images, torch.from_numpy(dataset.train_labels), settings, answers)

    @property
    def size(self) -> int:
        return len(self.images)

    def epoch(self, generator: torch.Generator, batch_size: int) -> Iterator[Batch]:
        """All images once, in an order and with distortions drawn from the generator."""
        order = torch.randperm(self.size, generator=generator)
        for start in range(0, self.size, batch_size):
            rows = order[start : start + batch_size]
            images = augment(to_input(self.images[rows]), self.settings, generator)
            yield Batch(images, self.labels[rows], None if self.teacher is None else self.teacher[rows])
