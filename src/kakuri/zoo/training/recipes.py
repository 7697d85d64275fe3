"""Training recipes: every setting of a run, in one frozen record.

Purpose: the document's recipes and ours, by name.
Guarantees: a recipe is data; `train` reads nothing else. Does not guarantee: that a recipe suits another network.
Source: S4, table 5.4 and section 5.2 (AdamW with PyTorch's defaults: learning rate 0.001, weight decay 0.01).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from kakuri.errors import KakuriError, Problem
from kakuri.zoo.training.augment import Augmentation


@dataclass(frozen=True)
class Recipe:
    """How to train. Raises KK-Z10 for settings out of range, every problem at once.

    optimizer: "adamw", or "muon": convolutions' weights go by Muon at muon_learning_rate, the rest by AdamW.
    schedule: "constant", or "cosine" from learning_rate to 0 over the run, after a linear rise of warmup_epochs.
    ema_decay: per step; the averaged weights are the result (0: no averaging).
    distillation: weight of the teacher's answer in the loss, at the given temperature; the true label has the rest.
    range_penalty: weight of the mean square by which inputs of an activation exceed its range, once the share
    range_penalty_from of the epochs is done.
    range_limit: that range for activations that have none of their own.
    gradient_clip: largest gradient norm (0: no limit).
    clean_statistics: the result's batch normalisation is re-estimated from the undistorted training images.
    """

    name: str
    epochs: int
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    optimizer: Literal["adamw", "muon"] = "adamw"
    muon_learning_rate: float = 0.02
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = 0.0
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    distillation: float = 0.0
    temperature: float = 1.0
    range_penalty: float = 0.0
    range_penalty_from: float = 0.0
    range_limit: float | None = None
    gradient_clip: float = 0.0
    clean_statistics: bool = False

    def __post_init__(self) -> None:
        rules: tuple[tuple[str, object, bool, str], ...] = (
            ("epochs", self.epochs, 1 <= self.epochs <= 100_000, "1 to 100000"),
            ("batch_size", self.batch_size, 2 <= self.batch_size <= 65_536, "2 to 65536"),
            ("learning_rate", self.learning_rate, 0 < self.learning_rate <= 10, "above 0, at most 10"),
            ("muon_learning_rate", self.muon_learning_rate, 0 < self.muon_learning_rate <= 1, "above 0, at most 1"),
            ("weight_decay", self.weight_decay, 0 <= self.weight_decay <= 1, "0 to 1"),
            ("warmup_epochs", self.warmup_epochs, 0 <= self.warmup_epochs <= self.epochs, "0 to epochs"),
            ("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "0 to below 1"),
            ("ema_decay", self.ema_decay, 0 <= self.ema_decay < 1, "0 to below 1"),
            ("distillation", self.distillation, 0 <= self.distillation <= 1, "0 to 1"),
            ("temperature", self.temperature, 0 < self.temperature <= 100, "above 0, at most 100"),
            ("range_penalty", self.range_penalty, 0 <= self.range_penalty < float("inf"), "0 or more"),
            ("range_penalty_from", self.range_penalty_from, 0 <= self.range_penalty_from < 1, "0 to below 1"),
            ("gradient_clip", self.gradient_clip, 0 <= self.gradient_clip < float("inf"), "0 or more"),
            ("optimizer", self.optimizer, self.optimizer in ("adamw", "muon"), "adamw or muon"),
            ("schedule", self.schedule, self.schedule in ("constant", "cosine"), "constant or cosine"),
        )
        problems = [
            Problem("KK-Z10", "training setting out of range", f"{self.name}.{where}", repr(got), limit)
            for where, got, holds, limit in rules
            if not holds
        ]
        if problems:
            raise KakuriError.collect(problems)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = asdict(self)
        plain["augmentation"]["scale"] = list(self.augmentation.scale)
        return plain


#: Distortions for MNIST: table 5.4's, ours for the teacher, and ours as writers differ.
MNIST_DOCUMENT = Augmentation(rotation_degrees=15.0, scale=(0.8, 1.2))
MNIST_WIDE = Augmentation(rotation_degrees=15.0, scale=(0.85, 1.15), translation_pixels=1.5, elastic_pixels=0.7)
MNIST_WRITERS = Augmentation(
    rotation_degrees=10.0, scale=(0.9, 1.1), shear=0.2, aspect=0.1, elastic_pixels=0.8, centred=True
)
CIFAR_DOCUMENT = Augmentation(crop_margin_pixels=4, flip=True)

_DISTILLED = Recipe(
    "distilled-mnist",
    epochs=80,
    augmentation=MNIST_WRITERS,
    batch_size=128,
    learning_rate=8e-3,
    weight_decay=0.0,
    schedule="cosine",
    warmup_epochs=1.0,
    ema_decay=0.999,
    distillation=0.9,
    temperature=2.0,
    clean_statistics=True,
)

_FINETUNED = replace(_DISTILLED, name="finetuned-mnist", epochs=8, learning_rate=2e-3)

_DISTILLED_CIFAR10 = Recipe(
    "distilled-cifar10",
    epochs=36,
    augmentation=Augmentation(crop_margin_pixels=3, flip=True),
    batch_size=125,
    learning_rate=5e-3,
    optimizer="muon",
    schedule="cosine",
    warmup_epochs=0.5,
    ema_decay=0.998,
    distillation=0.7,
    temperature=3.0,
    range_penalty=0.02,
    range_penalty_from=0.6,
    range_limit=5.0,
    gradient_clip=5.0,
)

#: document-*: table 5.4. fast-mnist: a few minutes on one core. teacher-mnist: for `networks.mnist_teacher`.
#: distilled-*, finetuned-* after pruning, rebased-* after a change of activation and raised-* after one to a higher
#: degree learn from a teacher's answers.
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe("document-mnist", epochs=200, augmentation=MNIST_DOCUMENT),
            Recipe("document-cifar10", epochs=200, augmentation=CIFAR_DOCUMENT),
            Recipe(
                "fast-mnist",
                epochs=15,
                augmentation=MNIST_WIDE,
                learning_rate=6e-3,
                schedule="cosine",
                warmup_epochs=1.0,
                ema_decay=0.995,
                range_penalty=0.01,
                range_limit=5.0,
                gradient_clip=1.0,
            ),
            Recipe(
                "teacher-mnist",
                epochs=20,
                augmentation=MNIST_WIDE,
                learning_rate=3e-3,
                schedule="cosine",
                warmup_epochs=1.0,
                ema_decay=0.998,
            ),
            _DISTILLED,
            _FINETUNED,
            _DISTILLED_CIFAR10,
            replace(_DISTILLED_CIFAR10, name="rebased-cifar10", epochs=12, learning_rate=3e-3, muon_learning_rate=0.01),
            replace(
                _DISTILLED_CIFAR10,
                name="raised-cifar10",
                epochs=30,
                learning_rate=3e-3,
                muon_learning_rate=0.01,
                range_penalty=0.1,
                range_penalty_from=0.0,
            ),
            replace(
                _DISTILLED_CIFAR10, name="finetuned-cifar10", epochs=4, learning_rate=2e-3, muon_learning_rate=5e-3
            ),
        )
    }
)
