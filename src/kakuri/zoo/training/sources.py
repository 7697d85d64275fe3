"""Where an epoch's batches come from.

Purpose: fresh augmentation every epoch, where a teacher's answers are those to the original images (`Source`), or a
pool of copies augmented once, with the teachers' answers to each copy (`Pool`).
Guarantees: an epoch is a function of the source and the generator; every training image appears exactly once in it.
Does not guarantee: that a teacher would answer the same for the distorted image. Crops and flips change little; for
warped digits the answers to the copies are worth far more (training_record.json of S4). A pool, in turn, has as many
variants per image as copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.zoo.data.dataset import ImageDataset
from kakuri.zoo.training.augment import Augmentation, augment
from kakuri.zoo.training.evaluate import logits_of, to_input

#: Images augmented at a time in making a pool.
CHUNK = 4096


@dataclass(frozen=True)
class Batch:
    """images: float32 (b, c, h, w), network input; labels: int64 (b,); teacher: float32 (b, classes) or None."""

    images: Tensor
    labels: Tensor
    teacher: Tensor | None


@dataclass(frozen=True)
class Source:
    """images: uint8 (n, c, h, w); labels: int64 (n,); answers: a teacher's logits, float32 (n, classes), or None."""

    images: Tensor
    labels: Tensor
    settings: Augmentation
    answers: Tensor | None = None

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
            yield Batch(images, self.labels[rows], None if self.answers is None else self.answers[rows])


@dataclass(frozen=True)
class Pool:
    """images: uint8 (copies, n, c, h, w); labels: int64 (n,); answers: logits, float32 (copies, n, classes), or None.

    Every epoch draws one copy of each image.
    """

    images: Tensor
    labels: Tensor
    answers: Tensor | None

    @property
    def size(self) -> int:
        return len(self.labels)

    def without_last(self, count: int) -> Pool:
        """The pool of all images but the last ``count``: the training part of `ImageDataset.hold_out`."""
        answers = None if self.answers is None else self.answers[:, :-count]
        return Pool(self.images[:, :-count], self.labels[:-count], answers)

    def epoch(self, generator: torch.Generator, batch_size: int) -> Iterator[Batch]:
        order = torch.randperm(self.size, generator=generator)
        copies = torch.randint(0, len(self.images), (self.size,), generator=generator)
        for start in range(0, self.size, batch_size):
            rows = order[start : start + batch_size]
            copy = copies[start : start + batch_size]
            teacher = None if self.answers is None else self.answers[copy, rows]
            yield Batch(to_input(self.images[copy, rows]), self.labels[rows], teacher)


def make_pool(
    dataset: ImageDataset,
    settings: Augmentation,
    *,
    copies: int,
    seed: int,
    teachers: Sequence[nn.Module] = (),
) -> Pool:
    """Augment the training part ``copies`` times and record the mean of the teachers' logits for each result.

    Pixels are rounded to 8 bits after augmentation, so that a pool of 12 copies of MNIST takes 565 MB.
    Raises KK-Z11 for fewer than one copy.
    """
    if copies < 1:
        raise KakuriError("KK-Z11", "a pool needs at least one copy", where="copies", got=copies, limit="1 or more")
    generator = torch.Generator().manual_seed(seed)
    source = torch.from_numpy(dataset.train_images)
    images = torch.empty((copies, *source.shape), dtype=torch.uint8)
    answers: list[Tensor] = []
    for copy in images:
        for start in range(0, len(source), CHUNK):
            part = slice(start, start + CHUNK)
            distorted = augment(to_input(source[part]), settings, generator)
            copy[part] = (distorted * 255).round().clamp(0, 255).to(torch.uint8)
        if teachers:
            answers.append(torch.stack([logits_of(teacher, copy) for teacher in teachers]).mean(0))
    return Pool(images, torch.from_numpy(dataset.train_labels), torch.stack(answers) if answers else None)


def save_pool(path: Path, pool: Pool) -> None:
    """Write the pool as one safetensors file, atomically. Raises KK-F10 when that fails."""
    tensors = {"images": pool.images, "labels": pool.labels}
    with atomic_write(path) as file:
        file.write(save(tensors if pool.answers is None else {**tensors, "logits": pool.answers}))


def load_pool(path: Path) -> Pool:
    """The inverse of `save_pool`. Raises KK-Z21 for a file that is not a pool."""
    try:
        tensors = load_file(path)
        return Pool(tensors["images"], tensors["labels"], tensors.get("logits"))
    except (OSError, SafetensorError, KeyError) as error:
        hint = "delete the file and make it again"
        raise KakuriError("KK-Z21", "not a readable pool", where=path, got=error, hint=hint) from error
