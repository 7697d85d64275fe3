"""Convolution and batch normalisation on tensors whose innermost axis is the batch, for training the 3layer-CNN.

Purpose: a convolution of few channels leaves a general kernel little to reuse; with the batch innermost, gathering its
taps copies whole rows, the layer is one matrix product, and batch normalisation reduces rows.
Guarantees: values and gradients of `Conv2d` without padding and of `BatchNorm2d` in training mode, up to rounding.
Does not guarantee: speed where a layer has many channels; gathered taps take k^2 / s^2 times the input's memory.
Legend: c, h, w, n: channels, rows, columns, batch; k: kernel size; s: stride; l: positions times batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Convolution(torch.autograd.Function):
    """(c, h, w, n) to (f, h', w', n), without bias: one product of filters (f, c k k) and gathered taps (c k k, l)."""

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


class Normalisation(torch.autograd.Function):
    """Rows of z (c, l) to (u (c, l), mean (c,), variance (c,)).

    shift: the convolution's bias, which moves the mean and nothing else; its gradient is zero.
    """

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor, Tensor]:
        z, shift, weight, bias, epsilon = given
        mean = z.mean(1)
        centred = z - mean[:, None]
        variance = torch.linalg.vector_norm(centred, dim=1).square_().div_(z.shape[1])
        inverse = torch.rsqrt(variance + epsilon)
        ctx.save_for_backward(centred, inverse, weight)
        shifted = mean + shift
        ctx.mark_non_differentiable(shifted, variance)
        return torch.addcmul(bias[:, None], centred, (weight * inverse)[:, None]), shifted, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        """dz = g r (dy - mean(dy) - x mean(dy x)) with x = centred r, g the weight, r the inverse deviation."""
        centred, inverse, weight = ctx.saved_tensors
        to_y, count = gradients[0], centred.shape[1]
        to_bias = to_y.sum(1)
        to_weight = torch.linalg.vecdot(to_y, centred) * inverse
        scale = weight * inverse
        to_z = torch.addcmul((-scale * to_bias / count)[:, None], to_y, scale[:, None])
        to_z.addcmul_(centred, (-scale * inverse * to_weight / count)[:, None])
        return to_z, torch.zeros_like(to_bias), to_weight, to_bias, None
