"""The 3layer-CNN's training pass on tensors whose innermost axis is the batch.

Purpose: a convolution of few channels leaves a general kernel little to reuse; with the batch innermost, gathering its
taps copies whole rows, the layer is one matrix product, and batch normalisation reduces rows.
Guarantees: `training_forward` computes what the module computes in training mode, up to rounding, and updates the same
running statistics; activations run as the module's own sub-modules, so that hooks on them see the same values.
Does not guarantee: speed for other networks; they go through their own forward pass, channels last.
Legend: c, h, w, n: channels, rows, columns, batch; k: kernel size; s: stride; l: positions times batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kakuri.zoo.networks import ThreeLayerCNN

#: What the module's batch normalisation adds to a variance; PyTorch's default.
EPSILON = 1e-5


def training_forward(module: nn.Module, images: Tensor) -> Tensor:
    """Logits (n, classes) in training mode. images: float32 (n, c, h, w), any strides; batch innermost copies least."""
    if not isinstance(module, ThreeLayerCNN):
        logits: Tensor = module(images.contiguous(memory_format=torch.channels_last))
        return logits
    x = images.permute(1, 2, 3, 0).contiguous()
    x = module.act1(_convolved_and_normalised(x, module.conv1, module.bn1))
    x = module.act2(_convolved_and_normalised(x, module.conv2, module.bn2))
    return torch.addmm(module.fc.bias, x.flatten(0, 2).t(), module.fc.weight.t())


def _convolved_and_normalised(x: Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """(c, h, w, n) to (filters, h', w', n). The convolution's bias shifts the running mean and nothing else."""
    z: Tensor = _Convolution.apply(x, convolution.weight, convolution.stride[0])  # type: ignore[no-untyped-call]
    flat = z.flatten(1)
    y, mean, variance = _BatchNorm.apply(flat, convolution.bias, norm.weight, norm.bias)  # type: ignore[no-untyped-call]
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        momentum, count = norm.momentum or 0.0, flat.shape[1]
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), momentum)
    normalised: Tensor = y.view_as(z)
    return normalised


class _Convolution(torch.autograd.Function):
    """Without padding and bias: one product of the filters (f, c k k) with the gathered taps (c k k, l)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        c, h, w, n = x.shape
        k = weight.shape[-1]
        rows, columns = (h - k) // stride + 1, (w - k) // stride + 1
        strides = (h * w * n, w * n, n, stride * w * n, stride * n, 1)
        taps = x.as_strided((c, k, k, rows, columns, n), strides).reshape(c * k * k, rows * columns * n)
        ctx.save_for_backward(taps, weight)
        ctx.shape, ctx.stride, ctx.taps_shape = x.shape, stride, (c, k, k, rows, columns, n)
        return (weight.flatten(1) @ taps).view(len(weight), rows, columns, n)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        taps, weight = ctx.saved_tensors
        gradient = gradients[0].flatten(1)
        to_weight = (gradient @ taps.t()).view_as(weight)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_taps = (weight.flatten(1).t() @ gradient).view(ctx.taps_shape)
            to_x = gradient.new_zeros(ctx.shape)
            s, (_, k, _, rows, columns, _) = ctx.stride, ctx.taps_shape
            for i in range(k):
                for j in range(k):
                    to_x[:, i : i + s * rows : s, j : j + s * columns : s] += to_taps[:, i, j]
        return to_x, to_weight, None


class _BatchNorm(torch.autograd.Function):
    """Batch normalisation of the rows of z (c, l): (y, mean with the convolution's bias, variance)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, shift: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = z.mean(1)
        centred = z - mean[:, None]
        variance = torch.linalg.vector_norm(centred, dim=1).square_().div_(z.shape[1])
        inverse = torch.rsqrt(variance + EPSILON)
        ctx.save_for_backward(centred, inverse, weight)
        shifted = mean + shift
        ctx.mark_non_differentiable(shifted, variance)
        return torch.addcmul(bias[:, None], centred, (weight * inverse)[:, None]), shifted, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """dz = g r (dy - mean(dy) - x mean(dy x)) with x = centred r, g the weight, r the inverse deviation."""
        centred, inverse, weight = ctx.saved_tensors
        to_y, count = gradients[0], centred.shape[1]
        to_bias = to_y.sum(1)
        to_weight = torch.linalg.vecdot(to_y, centred) * inverse
        scale = weight * inverse
        to_z = torch.addcmul((-scale * to_bias / count)[:, None], to_y, scale[:, None])
        to_z.addcmul_(centred, (-scale * inverse * to_weight / count)[:, None])
        return to_z, torch.zeros_like(to_bias), to_weight, to_bias
