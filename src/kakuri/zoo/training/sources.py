"""Where an epoch's batches come from.

Purpose: fresh augmentation every epoch, or a pool of copies augmented once whose teacher answers are computed once.
Guarantees: an epoch is a function of the source and the generator; every training image appears exactly once in it.
Does not guarantee: that a pool varies as much as fresh augmentation; it has as many variants per image as copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.zoo.data.dataset import ImageDataset
from kakuri.zoo.training.augment import Augmentation, augment
from kakuri.zoo.training.evaluate import logits_of, to_input

CHUNK = 4096


@dataclass(frozen=True)
class Batch:
    """images: float32 (b, c, h, w), network input; labels: int64 (b,); teacher: float32 (b, classes) or None."""

    images: Tensor
    labels: Tensor
    teacher: Tensor | None


class Source(Protocol):
    """Batches for one epoch, all of the training part once, in an order drawn from the generator."""

    @property
    def size(self) -> int: ...

    def epoch(self, generator: torch.Generator, batch_size: int) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class FreshAugmentation:
    """Every epoch draws new distortions."""

    images: Tensor
    labels: Tensor
    settings: Augmentation

    @classmethod
    def of(cls, dataset: ImageDataset, settings: Augmentation) -> FreshAugmentation:
        return cls(torch.from_numpy(dataset.train_images), torch.from_numpy(dataset.train_labels), settings)

    @property
    def size(self) -> int:
        return len(self.images)

    def epoch(self, generator: torch.Generator, batch_size: int) -> Iterator[Batch]:
        order = torch.randperm(self.size, generator=generator)
        chunk = max(1, CHUNK // batch_size) * batch_size
        for start in range(0, self.size, chunk):
            rows = order[start : start + chunk]
            images = augment(to_input(self.images[rows]), self.settings, generator)
            for part in range(0, len(rows), batch_size):
                chosen = slice(part, part + batch_size)
                yield Batch(images[chosen], self.labels[rows[chosen]], None)


@dataclass(frozen=True)
class Pool:
    """images: uint8 (copies, n, c, h, w); labels: int64 (n,); logits: float32 (copies, n, classes), or None.

    Every epoch draws one copy of each image.
    """

    images: Tensor
    labels: Tensor
    logits: Tensor | None

    @property
    def size(self) -> int:
        return len(self.labels)

    def without_last(self, count: int) -> Pool:
        """The pool of all images but the last ``count``: the training part of `ImageDataset.hold_out`."""
        logits = None if self.logits is None else self.logits[:, :-count]
        return Pool(self.images[:, :-count], self.labels[:-count], logits)

    def epoch(self, generator: torch.Generator, batch_size: int) -> Iterator[Batch]:
        order = torch.randperm(self.size, generator=generator)
        copies = torch.randint(0, len(self.images), (self.size,), generator=generator)
        for start in range(0, self.size, batch_size):
            rows = order[start : start + batch_size]
            copy = copies[start : start + batch_size]
            teacher = None if self.logits is None else self.logits[copy, rows]
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
    for copy in images:
        for start in range(0, len(source), CHUNK):
            part = slice(start, start + CHUNK)
            distorted = augment(to_input(source[part]), settings, generator)
            copy[part] = (distorted * 255).round().clamp(0, 255).to(torch.uint8)
    logits = None
    if teachers:
        answers = [logits_of(teacher, images.flatten(0, 1)) for teacher in teachers]
        logits = torch.stack(answers).mean(0).reshape(copies, len(source), -1)
    return Pool(images, torch.from_numpy(dataset.train_labels), logits)


def join_pools(pools: Sequence[Pool]) -> Pool:
    """All copies of pools over the same images. Raises KK-Z11 when labels differ or only some have logits."""
    first = pools[0]
    logits = [pool.logits for pool in pools if pool.logits is not None]
    same = all(torch.equal(pool.labels, first.labels) for pool in pools)
    if not same or len(logits) not in {0, len(pools)}:
        raise KakuriError("KK-Z11", "pools of different images or teachers do not join", where="pools", got=len(pools))
    return Pool(torch.cat([pool.images for pool in pools]), first.labels, torch.cat(logits) if logits else None)


def save_pool(path: Path, pool: Pool) -> None:
    """Write the pool as one safetensors file, atomically. Raises KK-F10 when that fails."""
    tensors = {"images": pool.images, "labels": pool.labels}
    with atomic_write(path) as file:
        file.write(save(tensors if pool.logits is None else {**tensors, "logits": pool.logits}))


def load_pool(path: Path) -> Pool:
    """The inverse of `save_pool`. Raises KK-Z21 for a file that is not a pool."""
    try:
        tensors = load_file(path)
        return Pool(tensors["images"], tensors["labels"], tensors.get("logits"))
    except (OSError, SafetensorError, KeyError) as error:
        hint = "delete the file and make it again"
        raise KakuriError("KK-Z21", "not a readable pool", where=path, got=error, hint=hint) from error
