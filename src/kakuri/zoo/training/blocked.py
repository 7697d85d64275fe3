"""Batch normalisation, polynomial and average pooling of the 4layer-CNN as one step, a few images at a time.

Purpose: between two convolutions the maps are larger than the cache; layer by layer each would be read and written a
dozen times. Here each pass over them does all that can be done while a block of images lies in the cache.
Guarantees: values and gradients of `BatchNorm2d` in training mode, `Polynomial` and `AvgPool2d(2)` in a row, up to
rounding; sums over the batch are gathered in double precision.
Does not guarantee: speed for maps that fit in the cache.
Legend: z: convolution's output without bias; u: normalised; y: activated; d: gradient of u; l: values per channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kakuri.zoo.networks import horner

#: Values of a block: half a megabyte, so that a block and its temporaries stay in a cache of one or two.
BLOCK_VALUES = 1 << 17


class NormalisedActivatedPooled(torch.autograd.Function):
    """z (n, c, h, w), channels last, even h and w, to (pooled (n, c, h/2, w/2), excess (), mean (c,), variance (c,)).

    shift: the convolution's bias, which moves the mean and nothing else. coefficients: ascending. radius: excess is the
    mean square by which |u| exceeds it, 0 for an infinite radius.
    """

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z, shift, weight, bias, (coefficients, radius, epsilon) = given
        n, c, h, w = z.shape
        count = n * h * w
        sums = z.new_zeros((2, c), dtype=torch.float64)
        for block in _blocks(z):
            flat = block.reshape(-1, c)
            sums += torch.stack([flat.sum(0), (flat * flat).sum(0)])
        mean, square = sums / count
        variance = (square - mean * mean).clamp_(min=0).to(z.dtype)
        mean = mean.to(z.dtype)
        inverse = torch.rsqrt(variance + epsilon)
        scale, offset = weight * inverse, bias - mean * weight * inverse
        pooled = z.new_empty((n, h // 2, w // 2, c))
        excess = z.new_zeros(())
        for block, into in zip(_blocks(z), _blocks(pooled.permute(0, 3, 1, 2), 4), strict=True):
            u = torch.addcmul(offset, block, scale)
            if radius < float("inf"):
                excess += functional.softshrink(u, radius).square_().sum() / (count * c)
            y = horner(u, coefficients)
            rows = y[:, ::2] + y[:, 1::2]
            torch.add(rows[:, :, ::2], rows[:, :, 1::2], out=into).mul_(0.25)
        ctx.save_for_backward(z, mean, inverse, scale, offset)
        ctx.coefficients, ctx.radius = coefficients, radius
        shifted = mean + shift
        ctx.mark_non_differentiable(shifted, variance)
        return pooled.permute(0, 3, 1, 2), excess, shifted, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        """dz = scale (d - mean(d) - x mean(d x)) with x = (z - mean) inverse."""
        z, mean, inverse, scale, offset = ctx.saved_tensors
        to_pooled = gradients[0].contiguous(memory_format=torch.channels_last) * 0.25
        n, c, h, w = z.shape
        count = n * h * w
        derivative = tuple(power * value for power, value in enumerate(ctx.coefficients))[1:]
        per_excess = gradients[1] * (2 / (count * c))
        d = torch.empty_like(z)
        sums = z.new_zeros((2, c), dtype=torch.float64)
        for block, into, quarter in zip(_blocks(z), _blocks(d), _blocks(to_pooled, 4), strict=True):
            u = torch.addcmul(offset, block, scale)
            slope = horner(u, derivative)
            spread = slope.view(len(u), h // 2, 2, w // 2, 2, c).mul_(quarter[:, :, None, :, None])
            slope = spread.view_as(u)
            if ctx.radius < float("inf"):
                slope.addcmul_(functional.softshrink(u, ctx.radius), per_excess)
            into.copy_(slope)
            flat = slope.reshape(-1, c)
            sums += torch.stack([flat.sum(0), (flat * block.reshape(-1, c)).sum(0)])
        to_bias = sums[0]
        to_weight = (sums[1] - mean * sums[0]) * inverse
        per_value = (-scale * inverse * to_weight / count).to(z.dtype)
        constant = (-scale * to_bias / count - per_value * mean).to(z.dtype)
        for block, into in zip(_blocks(z), _blocks(d), strict=True):
            into.mul_(scale).addcmul_(block, per_value).add_(constant)
        return d, torch.zeros_like(mean), to_weight.to(z.dtype), to_bias.to(z.dtype), None


def _blocks(z: Tensor, shrunk: int = 1) -> Iterator[Tensor]:
    """Consecutive images of z as (m, h, w, c) views. shrunk: how many times fewer values an image has than in z's."""
    images = z.permute(0, 2, 3, 1)
    yield from images.split(max(1, BLOCK_VALUES // (shrunk * images[0].numel())))  # type: ignore[no-untyped-call]
