"""Training of the zoo's networks.

Purpose: recipes, augmentation on tensors, resumable training, distillation, evaluation, export to ONNX.
Guarantees: a run is a function of data, recipe and seed; stopping and resuming does not change its result on the same
machine and thread count. Checkpoints are written atomically and hold no pickle.
Does not guarantee: the same bits on another processor or torch version.
Source: S4, section 5.2 and table 5.4; knowledge distillation after Hinton, Vinyals, Dean (2015).
"""

from __future__ import annotations

from kakuri.zoo._extras import missing_torch

try:
    import torch as _torch  # noqa: F401 - the whole room needs it, so say so once
except ModuleNotFoundError as error:  # pragma: no cover - needs an environment without torch
    raise missing_torch("kakuri.zoo.training") from error

from kakuri.zoo.training.augment import Augmentation, augment
from kakuri.zoo.training.complete_square import completed_square
from kakuri.zoo.training.evaluate import accuracy_percent, largest_activation_inputs, logits_of
from kakuri.zoo.training.export import to_onnx
from kakuri.zoo.training.loop import EpochReport, TrainingResult, train
from kakuri.zoo.training.progress import progress_bar
from kakuri.zoo.training.publish import publish
from kakuri.zoo.training.recipes import RECIPES, Recipe
from kakuri.zoo.training.sources import Source, Stream

__all__ = [
    "RECIPES",
    "Augmentation",
    "EpochReport",
    "Recipe",
    "Source",
    "Stream",
    "TrainingResult",
    "accuracy_percent",
    "augment",
    "completed_square",
    "largest_activation_inputs",
    "logits_of",
    "progress_bar",
    "publish",
    "to_onnx",
    "train",
]
