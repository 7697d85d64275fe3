"""Conv and Gemm. Source: TFLite's Conv, DepthwiseConv and FullyConnected, reference, 8 bits.

The real multiplier is input scale * weight scale / output scale, in double. Legacy uint8 has the first product
rounded to float32. A dense layer of int8 multiplies its accumulator by the real multiplier in double and rounds once;
all others use the fixed-point form.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kakuri.model.graph import Array, integer, ints
from kakuri.model.quantized import fixed_point
from kakuri.model.quantized.fixed_point import Int64
from kakuri.model.quantized.kernels.common import Kernel, centred, clamped, core, given, is_unsigned
from kakuri.model.quantized.reading import Region


def real_multipliers(region: Region) -> NDArray[np.float64]:
    """The real multiplier of a Conv or Gemm region, (1,) or (output channels,)."""
    left, right = region.operand(0).scale, region.operand(1).scale
    product = left * right if is_unsigned(region) else left.astype(np.float64) * right.astype(np.float64)
    return product.astype(np.float64) / np.float64(region.output.scale[0])


def multipliers(region: Region) -> tuple[Int64, Int64]:
    """``real_multipliers`` as (significand, shift), each (1,) or (output channels,)."""
    return fixed_point.quantize_multipliers(real_multipliers(region))


def rounds_in_double(region: Region) -> bool:
    """Whether the region multiplies its accumulators in double instead of in fixed point."""
    return core(region).op_type == "Gemm" and not is_unsigned(region)


def _finish(region: Region, arrays: Sequence[Array | None], sums: NDArray[np.float64], axis: int) -> Int64:
    """Bias, requantisation and clamp of exact accumulators whose output channels lie along ``axis``."""
    shape = [-1 if axis == position else 1 for position in range(sums.ndim)]
    totals = sums.astype(np.int64)
    if len(arrays) > 2 and arrays[2] is not None:
        totals = totals + given(region, arrays, 2).reshape(shape)
    totals = fixed_point.wrap(totals)
    if rounds_in_double(region):
        scaled = totals.astype(np.float64) * real_multipliers(region).reshape(shape)
        return clamped(region, fixed_point.round_away(scaled).astype(np.int64))
    significand, shift = multipliers(region)
    return clamped(region, fixed_point.multiply(totals, significand.reshape(shape), shift.reshape(shape)))


def _weights(region: Region, arrays: Sequence[Array | None]) -> NDArray[np.float64]:
    points = region.operand(1).zero_point
    weights = given(region, arrays, 1)
    return (weights - points.reshape(-1, *(1,) * (weights.ndim - 1))).astype(np.float64)


def conv(region: Region, arrays: Sequence[Array | None]) -> Int64:
    """x (N, C, H, W), w (O, C/group, kh, kw); doubles hold the accumulators exactly."""
    node, data, weights = core(region), centred(region, arrays, 0).astype(np.float64), _weights(region, arrays)
    rows, columns = weights.shape[2:]
    (top, left, bottom, right), strides = ints(node, "pads", (0,) * 4), ints(node, "strides", (1, 1))
    dilations, group = ints(node, "dilations", (1, 1)), integer(node, "group", 1)
    padded = np.pad(data, ((0, 0), (0, 0), (top, bottom), (left, right)))
    batch, channels, height, width = padded.shape
    spans = [(height - (rows - 1) * dilations[0] - 1), (width - (columns - 1) * dilations[1] - 1)]
    out = [span // stride + 1 for span, stride in zip(spans, strides, strict=True)]
    sums = np.zeros((batch, group, weights.shape[0] // group, *out))
    grouped = weights.reshape(group, weights.shape[0] // group, *weights.shape[1:])
    for row in range(rows):
        for column in range(columns):
            y, x = row * dilations[0], column * dilations[1]
            part = padded[
                :,
                :,
                y : y + (out[0] - 1) * strides[0] + 1 : strides[0],
                x : x + (out[1] - 1) * strides[1] + 1 : strides[1],
            ].reshape(batch, group, channels // group, -1)
            sums += (grouped[None, :, :, :, row, column] @ part).reshape(sums.shape)
    return _finish(region, arrays, sums.reshape(batch, weights.shape[0], *out), 1)


def gemm(region: Region, arrays: Sequence[Array | None]) -> Int64:
    """x (rows, in), w (out, in)."""
    sums = centred(region, arrays, 0).astype(np.float64) @ _weights(region, arrays).T
    return _finish(region, arrays, sums, 1)


KERNELS: dict[str, Kernel] = {"Conv": conv, "Gemm": gemm}
