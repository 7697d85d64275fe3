"""A convolution's input as the matrix of its patches, channels last.

Purpose: Y = patches(X) W is the convolution; both directions are copies of whole runs of channels.
Guarantees: the backward pass adds every element of a patch to the one it was copied from, in a fixed order.
Does not guarantee: small memory; a kernel of k x k makes the matrix k^2 times as large as the input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Pair = tuple[int, ...]  # of height and width
Context = Any  # torch gives autograd contexts no usable type


class _Patches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, kernel: Pair, stride: Pair, dilation: Pair) -> Tensor:
        ctx.settings = x.shape, kernel, stride, dilation
        x = x.permute(0, 2, 3, 1).contiguous()
        b, _, _, c = x.shape
        height, width = _outputs(ctx.settings[0], kernel, stride, dilation)
        of_image, of_row, of_column, _ = x.stride()
        strides = (stride[0] * of_row, stride[1] * of_column, dilation[0] * of_row, dilation[1] * of_column)
        windows = x.as_strided((b, height, width, *kernel, c), (of_image, *strides, 1))
        return windows.reshape(b * height * width, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, rows: Tensor) -> tuple[Tensor, None, None, None]:
        shape, kernel, stride, dilation = ctx.settings
        b, c, *size = shape
        height, width = _outputs(shape, kernel, stride, dilation)
        windows = rows.view(b, height, width, *kernel, c)
        gradient = rows.new_zeros(b, *size, c)
        for i in range(kernel[0]):
            lines = slice(i * dilation[0], i * dilation[0] + (height - 1) * stride[0] + 1, stride[0])
            for j in range(kernel[1]):
                columns = slice(j * dilation[1], j * dilation[1] + (width - 1) * stride[1] + 1, stride[1])
                gradient[:, lines, columns] += windows[:, :, :, i, j]
        return gradient.permute(0, 3, 1, 2), None, None, None


def patches(x: Tensor, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Tensor, int, int]:
    """x (b, c, h, w), padded already -> rows (b * height * width, kh * kw * c), and height and width of the output."""
    rows: Tensor = _Patches.apply(x, kernel, stride, dilation)  # type: ignore[no-untyped-call]
    return rows, *_outputs(x.shape, kernel, stride, dilation)


def _outputs(shape: torch.Size, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[int, int]:
    height, width = (
        (size - step * (taps - 1) - 1) // jump + 1
        for size, taps, jump, step in zip(shape[-2:], kernel, stride, dilation, strict=True)
    )
    return height, width
