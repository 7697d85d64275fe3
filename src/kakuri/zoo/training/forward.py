"""One forward pass in training mode, by the fastest way that the network has.

Purpose: logits and, where asked, by how much activation inputs leave their range.
Guarantees: values and running statistics of the module's own forward pass in training mode, up to rounding.
Does not guarantee: a fast way for other networks than the 3layer-CNN (`batch_last`) and, compiled, the 4layer-CNN with
polynomial activations: its maps are larger than the cache, and a compiler that fuses normalisation, polynomial and
pooling reads them 2 to 4 times less often (a step of 128 images: 183 ms compiled, 781 ms not, of which the convolutions
are about 150 ms).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakuri.zoo.networks import FourLayerCNN, Polynomial, ThreeLayerCNN
from kakuri.zoo.training.batch_last import Convolution, Normalisation
from kakuri.zoo.training.evaluate import activation_modules

Statistics = list[tuple[Tensor, Tensor, int]]


def training_forward(
    module: nn.Module, images: Tensor, limit: float | None = None, *, compiled: bool = False
) -> tuple[Tensor, Tensor]:
    """(logits (n, classes), excess ()). images: float32 (n, c, h, w), any strides.

    compiled: the 4layer-CNN's pass is compiled at its first use (needs a C++ compiler and about a minute); every other
    network ignores it.
    excess: the mean square by which inputs of an activation exceed its range, summed over activations; the range is the
    activation's own, else ``limit``; 0 when ``limit`` is None, and not differentiable then.
    """
    if isinstance(module, ThreeLayerCNN):
        return _three_layers(module, images, limit)
    if isinstance(module, FourLayerCNN) and isinstance(module.act1, Polynomial):
        return _four_layers(module, images, limit, compiled)
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


def _four_layers(module: FourLayerCNN, images: Tensor, limit: float | None, compiled: bool) -> tuple[Tensor, Tensor]:
    given = (module, images.contiguous(memory_format=torch.channels_last), limit)
    logits, excess, statistics = (_compiled() if compiled else _four_layer_values)(*given)
    for norm, (mean, variance, count) in zip((module.bn1, module.bn2, module.bn3), statistics, strict=True):
        _track(norm, mean, variance, count)
    return logits, excess


@cache
def _compiled() -> Callable[..., tuple[Tensor, Tensor, Statistics]]:
    return torch.compile(_four_layer_values, dynamic=False)


def _four_layer_values(module: FourLayerCNN, images: Tensor, limit: float | None) -> tuple[Tensor, Tensor, Statistics]:
    """(logits, excess, (mean, variance, values per channel) of each normalisation); the module is not changed."""
    x, excess, statistics = images, images.new_zeros(()), []
    layers = (
        (module.conv1, module.bn1, module.act1),
        (module.conv2, module.bn2, module.act2),
        (module.conv3, module.bn3, module.act3),
    )
    for convolution, norm, activation in layers:
        z = functional.conv2d(x, convolution.weight, padding=1)
        mean = z.mean((0, 2, 3))
        variance = (z * z).mean((0, 2, 3)) - mean * mean
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        u = z * scale[:, None, None] + (norm.bias - mean * scale)[:, None, None]
        if limit is not None:
            excess = excess + _excess(u, radius_of(activation, limit))
        x = functional.avg_pool2d(activation(u), 2)
        bias = mean.new_zeros(()) if convolution.bias is None else convolution.bias
        excess = excess + 0.0 * bias.sum()  # normalisation takes the bias away: its gradient is exactly 0
        statistics.append(((mean + bias).detach(), variance.detach(), z.numel() // z.shape[1]))
    return module.fc(x.mean((2, 3))), excess, statistics


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
