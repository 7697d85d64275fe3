"""Add, Sub, Mul, and requantisation with or without a clamp. Source: TFLite's reference kernels, 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kakuri.model.graph import Array
from kakuri.model.quantized.fixed_point import Int64, multiply, quantize_multiplier
from kakuri.model.quantized.kernels.common import Kernel, centred, clamped, core
from kakuri.model.quantized.reading import Region

_LEFT_SHIFT = 20


def add(region: Region, arrays: Sequence[Array | None]) -> Int64:
    """Both operands in units of twice the larger scale, 20 bits up, then to the output's."""
    scales = [region.operand(index).scale[0] for index in (0, 1)]
    unit = np.float64(np.float32(2) * max(scales))
    parts = []
    for index, scale in enumerate(scales):
        multiplier = quantize_multiplier(float(np.float64(scale) / unit))
        parts.append(multiply(centred(region, arrays, index) << _LEFT_SHIFT, *multiplier))
    total = parts[0] - parts[1] if core(region).op_type == "Sub" else parts[0] + parts[1]
    step = np.float32(1 << _LEFT_SHIFT) * region.output.scale[0]
    return clamped(region, multiply(total, *quantize_multiplier(float(unit / np.float64(step)))))


def mul(region: Region, arrays: Sequence[Array | None]) -> Int64:
    """The product of the operands; its scale is rounded to float32 at each step."""
    real = region.operand(0).scale[0] * region.operand(1).scale[0] / region.output.scale[0]
    product = centred(region, arrays, 0) * centred(region, arrays, 1)
    return clamped(region, multiply(product, *quantize_multiplier(float(real))))


def requantize(region: Region, arrays: Sequence[Array | None]) -> Int64:
    """Other scale, other zero point; a Relu or Clip is in the region's bounds."""
    real = np.float64(region.operand(0).scale[0]) / np.float64(region.output.scale[0])
    return clamped(region, multiply(centred(region, arrays, 0), *quantize_multiplier(float(real))))


KERNELS: dict[str, Kernel] = {
    "Add": add,
    "Sub": add,
    "Mul": mul,
    "": requantize,
    "Relu": requantize,
    "Clip": requantize,
}
