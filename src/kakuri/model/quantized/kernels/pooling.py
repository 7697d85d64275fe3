"""AveragePool, ReduceMean and ReduceSum. Source: TFLite's reference kernels, 8 bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kakuri.errors import KakuriError
from kakuri.model.graph import Array, constant, input_of, integer, ints
from kakuri.model.quantized.fixed_point import Int64, multiply, quantize_multiplier
from kakuri.model.quantized.kernels.common import Kernel, clamped, core, given
from kakuri.model.quantized.reading import Region


def average_pool(region: Region, arrays: Sequence[Array | None]) -> Int64:
    """The mean of the integers themselves, halves away from zero; padding does not count."""
    node, data = core(region), given(region, arrays, 0)
    kernel, strides = ints(node, "kernel_shape"), ints(node, "strides", (1, 1))
    top, left, bottom, right = ints(node, "pads", (0,) * 4)
    margins = ((0, 0), (0, 0), (top, bottom), (left, right))
    totals, counts = (
        _window_sums(np.pad(array, margins), kernel, strides) for array in (data, np.ones_like(data[:1, :1]))
    )
    half = counts // 2
    means = np.where(totals > 0, (totals + half) // counts, -((half - totals) // counts))
    bounded: Int64 = np.clip(means, region.low, region.high)
    return bounded


def _window_sums(data: Int64, kernel: Sequence[int], strides: Sequence[int]) -> Int64:
    windows = np.lib.stride_tricks.sliding_window_view(data, tuple(kernel), axis=(2, 3))
    sums: Int64 = windows[:, :, :: strides[0], :: strides[1]].sum(axis=(4, 5))
    return sums


def reduce(region: Region, arrays: Sequence[Array | None]) -> Int64:
    """A sum from the zero point; a mean has the count in its multiplier."""
    node, data = core(region), given(region, arrays, 0)
    listed = constant(input_of(node, 1))
    if listed is None:
        raise KakuriError("KK-M20", "the axes are not constant", where=node.name)
    axes = tuple(int(axis) for axis in listed)
    count = math.prod(data.shape[axis] for axis in axes)
    real = np.float64(region.operand(0).scale[0]) / np.float64(region.output.scale[0])
    significand, shift = quantize_multiplier(float(real))
    if node.op_type == "ReduceMean":
        extra = min(count.bit_length() - 1, 32, 31 + shift)
        significand, shift = (significand << extra) // count, shift - extra
    sums = data.sum(axis=axes, keepdims=bool(integer(node, "keepdims", 1)))
    return clamped(region, multiply(sums - region.operand(0).zero_point[0] * count, significand, shift))


KERNELS: dict[str, Kernel] = {"AveragePool": average_pool, "ReduceMean": reduce, "ReduceSum": reduce}
