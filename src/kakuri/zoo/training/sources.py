"""Where an epoch's batches come from.

Purpose: fresh augmentation every epoch, where a teacher's answers are those to the original images (`Source`), or where
the teachers answer each distorted image anew (`Stream`).
Guarantees: an epoch is a function of the source and the generator; every training image appears exactly once in it.
Does not guarantee: that a teacher would answer the same for the distorted image (`Source`). Crops and flips change
little; for warped digits the answers to the distorted images are worth far more (training_record.json of S4).
Source of `Stream`: Beyer et al., "Knowledge distillation: a good teacher is patient and consistent" (2022).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.zoo.data.dataset import ImageDataset
from kakuri.zoo.training.augment import Augmentation, augment
from kakuri.zoo.training.evaluate import evaluating, logits_of, to_input

#: Images distorted and answered at a time, about.
CHUNK = 1024


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

    @cached_property
    def digest(self) -> str:
        """Of images, labels, settings and the teacher's answers."""
        tensors = [self.images, self.labels] + ([] if self.answers is None else [self.answers])
        return digest_of(repr(self.settings), tensors)

    def epoch(self, generator: torch.Generator, batch_size: int) -> Iterator[Batch]:
        """All images once, in an order and with distortions drawn from the generator."""
        order = torch.randperm(self.size, generator=generator)
        for start in range(0, self.size, batch_size):
            rows = order[start : start + batch_size]
            images = augment(to_input(self.images[rows]), self.settings, generator)
            yield Batch(images, self.labels[rows], None if self.answers is None else self.answers[rows])


@dataclass(frozen=True)
class Stream:
    """images: uint8 (n, c, h, w); labels: int64 (n,); teachers: the mean of their logits goes with each image as drawn.

    memory: a folder that keeps the answers, one file for each epoch drawn, so that a second student of the same seed
    costs no teacher; None: asked anew.
    """

    images: Tensor
    labels: Tensor
    settings: Augmentation
    teachers: tuple[nn.Module, ...]
    memory: Path | None = None

    @classmethod
    def of(
        cls, dataset: ImageDataset, settings: Augmentation, teachers: Sequence[nn.Module], memory: Path | None = None
    ) -> Stream:
        """The training part of ``dataset``. Raises KK-Z13 without a teacher."""
        if not teachers:
            raise KakuriError("KK-Z13", "a stream needs a teacher", where="teachers", hint="use Source.of without one")
        images, labels = torch.from_numpy(dataset.train_images), torch.from_numpy(dataset.train_labels)
        return cls(images, labels, settings, tuple(teachers), memory)

    @property
    def size(self) -> int:
        return len(self.images)

    def epoch(self, generator: torch.Generator, batch_size: int) -> Iterator[Batch]:
        """All images once, in an order and with distortions drawn from the generator."""
        kept = None if self.memory is None else self.memory / f"{self._drawn(generator, batch_size)}.safetensors"
        known = _remembered(kept, self.size) if kept is not None else None
        order, asked = torch.randperm(self.size, generator=generator), []
        together = batch_size * max(1, CHUNK // batch_size)
        for start in range(0, self.size, together):
            rows = order[start : start + together]
            images = augment(to_input(self.images[rows]), self.settings, generator)
            answers = self._answers(images) if known is None else known[start : start + together]
            asked.append(answers)
            for part in range(0, len(rows), batch_size):
                here = slice(part, part + batch_size)
                yield Batch(images[here], self.labels[rows[here]], answers[here])
        if kept is not None and known is None:
            with atomic_write(kept) as file:
                file.write(save({"logits": torch.cat(asked)}))

    def _answers(self, images: Tensor) -> Tensor:
        """Mean logits, float32 (b, classes), for network input (b, c, h, w)."""
        images = images.contiguous(memory_format=torch.channels_last)
        answers = []
        with torch.no_grad():
            for teacher in self.teachers:
                with evaluating(teacher):
                    answers.append(teacher(images))
        return torch.stack(answers).mean(0)

    def _drawn(self, generator: torch.Generator, batch_size: int) -> str:
        """A name for one epoch: everything that its answers depend on."""
        return hashlib.sha256(f"{self.digest}/{generator.initial_seed()}/{batch_size}".encode()).hexdigest()[:32]

    @cached_property
    def digest(self) -> str:
        """Of images, labels, settings and the teachers' weights."""
        tensors = [self.images, self.labels]
        for teacher in self.teachers:
            tensors += teacher.state_dict().values()
        return digest_of(repr(self.settings), tensors)


def _remembered(path: Path, size: int) -> Tensor | None:
    """An epoch's answers, or None where there are none. Raises KK-Z21 for a file that does not hold them."""
    if not path.exists():
        return None
    try:
        answers = load_file(path)["logits"]
    except (OSError, SafetensorError, KeyError) as error:
        raise _unreadable(path, error) from error
    if len(answers) != size:
        raise _unreadable(path, f"{len(answers)} answers for {size} images")
    return answers


def _unreadable(path: Path, why: object) -> KakuriError:
    hint = "delete the file; the teachers will be asked again"
    return KakuriError("KK-Z21", "not a teacher's answers", where=path, got=why, hint=hint)


def digest_of(settings: str, tensors: Iterable[Tensor]) -> str:
    """A short SHA-256 of settings, shapes and values, so that a checkpoint knows its data."""
    digest = hashlib.sha256(settings.encode())
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
