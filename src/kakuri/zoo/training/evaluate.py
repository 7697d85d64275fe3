"""What a trained module answers.

Purpose: logits, accuracy and activation ranges over many images, in evaluation mode.
Guarantees: the module's mode is restored; no gradient is recorded.
Does not guarantee: the last bit between batch sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kakuri.zoo.networks import Polynomial
from kakuri.zoo.preprocessing import PREPROCESSING

#: Images answered at a time: few enough for their maps to stay in a cache.
BATCH = 250


def to_input(images: Tensor) -> Tensor:
    """uint8 pixels (n, c, h, w) to the float32 input of every network of the zoo, by `PREPROCESSING`."""
    return images.to(torch.float32).mul_(PREPROCESSING.scale).add_(PREPROCESSING.offset)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the old mode comes back."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)


def logits_of(module: nn.Module, images: Tensor | NDArray[np.uint8]) -> Tensor:
    """images: uint8 (n, c, h, w); returns float32 (n, classes)."""
    pixels = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    answers: Tensor | None = None
    with evaluating(module):
        for start in range(0, len(pixels), BATCH):
            found = module(to_input(pixels[start : start + BATCH]))
            if answers is None:
                answers = found.new_empty((len(pixels), found.shape[1]))
            answers[start : start + BATCH] = found
    return torch.empty((0, 0)) if answers is None else answers


def accuracy_percent(module: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Share of images (uint8, (n, c, h, w)) whose largest logit is the label (int64, (n,)), in percent."""
    answers = logits_of(module, images).argmax(1)
    return float((answers == torch.from_numpy(labels)).double().mean() * 100)


def activation_modules(module: nn.Module) -> dict[str, nn.Module]:
    """The activations by name: polynomials, ReLU and SiLU."""
    return {name: part for name, part in module.named_modules() if isinstance(part, Polynomial | nn.ReLU | nn.SiLU)}


def largest_activation_inputs(module: nn.Module, images: NDArray[np.uint8]) -> dict[str, float]:
    """Largest magnitude that enters each activation over images uint8 (n, c, h, w), by the activation's name."""
    largest = dict.fromkeys(activation_modules(module), 0.0)

    def record(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            largest[name] = max(largest[name], float(inputs[0].abs().max()))

        return hook

    handles = [part.register_forward_pre_hook(record(name)) for name, part in activation_modules(module).items()]
    try:
        logits_of(module, images)
    finally:
        for handle in handles:
            handle.remove()
    return largest
