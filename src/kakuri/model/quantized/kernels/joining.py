"""Concat of operands with different scales. Source: TFLite's concatenation with scaling, uint8, in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kakuri.model.graph import Array, integer
from kakuri.model.quantized.fixed_point import Int64, round_away
from kakuri.model.quantized.kernels.common import Kernel, core, given
from kakuri.model.quantized.reading import Region


def concat(region: Region, arrays: Sequence[Array | None]) -> Int64:
    inverse, point = np.float32(1) / region.output.scale[0], region.output.zero_point[0]
    parts = []
    for index in range(len(region.inputs)):
        operand, levels = region.operand(index), given(region, arrays, index)
        if operand.scale[0] != region.output.scale[0] or operand.zero_point[0] != point:
            scale = operand.scale[0] * inverse
            bias = np.float32(-operand.zero_point[0]) * scale
            levels = round_away(levels.astype(np.float32) * scale + bias).astype(np.int64) + point
        parts.append(levels)
    return np.clip(np.concatenate(parts, axis=integer(core(region), "axis", 0)), region.low, region.high)


KERNELS: dict[str, Kernel] = {"Concat": concat}
