"""One forward pass in training mode, by the fastest way that the network has.

Purpose: logits and, where asked, by how much activation inputs leave their range.
Guarantees: values and running statistics of the module's own forward pass in training mode, up to rounding.
Does not guarantee: a fast way for other networks than the 3layer-CNN (`batch_last`) and the 4layer-CNN with polynomial
activations (`blocked`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakuri.zoo.networks import FourLayerCNN, Polynomial, ThreeLayerCNN
from kakuri.zoo.training.batch_last import Convolution, Normalisation
from kakuri.zoo.training.blocked import NormalisedActivatedPooled
from kakuri.zoo.training.evaluate import activation_modules


def training_forward(module: nn.Module, images: Tensor, limit: float | None = None) -> tuple[Tensor, Tensor]:
    """(logits (n, classes), excess ()). images: float32 (n, c, h, w), any strides.

    excess: the mean square by which inputs of an activation exceed its range, summed over activations; the range is the
    activation's own, else ``limit``; 0 when ``limit`` is None, and not differentiable then.
    """
    if isinstance(module, ThreeLayerCNN):
        return _three_layers(module, images, limit)
    if isinstance(module, FourLayerCNN) and isinstance(module.act1, Polynomial):
        return _four_layers(module, images, limit)
    return _any(module, images, limit)


def radius_of(activation: nn.Module, limit: float) -> float:
    """Half-width of the range that the inputs of ``activation`` should keep."""
    return float(getattr(activation, "radius", None) or limit)


def _three_layers(module: ThreeLayerCNN, images: Tensor, limit: float | None) -> tuple[Tensor, Tensor]:
    x, excess = images.permute(1, 2, 3, 0).contiguous(), images.new_zeros(())
    layers = ((module.conv1, module.bn1, module.act1), (module.conv2, module.bn2, module.act2))
    for convolution, norm, activation in layers:
        z: Tensor = Convolution.apply(x, convolution.weight, convolution.stride[0])  # type: ignore[no-untyped-call]
        given = (z.flatten(1), convolution.bias, norm.weight, norm.bias, norm.eps)
        u, mean, variance = Normalisation.apply(*given)  # type: ignore[no-untyped-call]
        _track(norm, mean, variance, z[0].numel())
        if limit is not None:
            excess = excess + _excess(u, radius_of(activation, limit))
        x = activation(u.view_as(z))
    return torch.addmm(module.fc.bias, x.flatten(0, 2).t(), module.fc.weight.t()), excess


def _four_layers(module: FourLayerCNN, images: Tensor, limit: float | None) -> tuple[Tensor, Tensor]:
    x, excess = images.contiguous(memory_format=torch.channels_last), images.new_zeros(())
    layers = (
        (module.conv1, module.bn1, module.act1),
        (module.conv2, module.bn2, module.act2),
        (module.conv3, module.bn3, module.act3),
    )
    for convolution, norm, activation in layers:
        z = functional.conv2d(x, convolution.weight, padding=1).contiguous(memory_format=torch.channels_last)
        radius = math.inf if limit is None else radius_of(activation, limit)
        settings = (getattr(activation, "coefficients", ()), radius, norm.eps)
        given = (z, convolution.bias, norm.weight, norm.bias, settings)
        x, over, mean, variance = NormalisedActivatedPooled.apply(*given)  # type: ignore[no-untyped-call]
        _track(norm, mean, variance, z.numel() // z.shape[1])
        excess = excess + over
    logits: Tensor = module.fc(x.mean((2, 3)))
    return logits, excess


def _any(module: nn.Module, images: Tensor, limit: float | None) -> tuple[Tensor, Tensor]:
    """By the module's own forward pass, channels last, with hooks on its activations."""
    found = [images.new_zeros(())]

    def hook(radius: float) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _, inputs: found.append(_excess(inputs[0], radius))

    parts = () if limit is None else activation_modules(module).values()
    handles = [part.register_forward_pre_hook(hook(radius_of(part, limit or 0.0))) for part in parts]
    try:
        logits: Tensor = module(images.contiguous(memory_format=torch.channels_last))
    finally:
        for handle in handles:
            handle.remove()
    return logits, torch.stack(found).sum()


def _excess(u: Tensor, radius: float) -> Tensor:
    return functional.softshrink(u, radius).square().mean()


def _track(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """What `BatchNorm2d` does to its running statistics after a batch with ``count`` values per channel."""
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        momentum = norm.momentum or 0.0
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), momentum)
