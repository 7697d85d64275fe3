"""Softmax. Source: TFLite's reference softmax: exponentials in fixed point, one Newton reciprocal per row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kakuri.model.graph import Array, integer
from kakuri.model.quantized.fixed_point import (
    Int64,
    divide_by_power,
    exp_on_negative,
    high_multiply,
    quantize_multiplier,
    reciprocal_of_one_plus,
    wrap,
)
from kakuri.model.quantized.kernels.common import Kernel, core, given
from kakuri.model.quantized.reading import Region

_DIFFERENCE_BITS, _SUM_BITS, _OUTPUT_BITS = 5, 12, 8


def softmax(region: Region, arrays: Sequence[Array | None]) -> Int64:
    axis = integer(core(region), "axis", -1)
    data = np.moveaxis(given(region, arrays, 0), axis, -1)
    scaled = float(np.float64(region.operand(0).scale[0])) * (1 << (31 - _DIFFERENCE_BITS))
    significand, shift = quantize_multiplier(min(scaled, (1 << 31) - 1.0))
    span = ((1 << _DIFFERENCE_BITS) - 1) * (1 << (31 - _DIFFERENCE_BITS)) / (1 << shift)
    differences = data - data.max(axis=-1, keepdims=True)
    near = differences >= -math.floor(span)
    counted = np.where(near, differences, 0)
    exponentials = exp_on_negative(high_multiply(wrap(counted << shift), significand), _DIFFERENCE_BITS)
    sums = np.where(near, divide_by_power(exponentials, _SUM_BITS), 0).sum(axis=-1, keepdims=True)
    headroom = 32 - np.frompyfunc(lambda item: int(item).bit_length(), 1, 1)(sums).astype(np.int64)
    reciprocals = reciprocal_of_one_plus((sums << headroom) - (1 << 31))
    exponent = _SUM_BITS - headroom + 31 - _OUTPUT_BITS
    levels = divide_by_power(high_multiply(reciprocals, exponentials), exponent)
    lowest = np.iinfo((region.output.value.dtype or region.operand(0).value.dtype).numpy()).min  # type: ignore[union-attr]
    return np.moveaxis(np.clip(np.where(near, levels, 0) + lowest, region.low, region.high), -1, axis)


KERNELS: dict[str, Kernel] = {"Softmax": softmax}
