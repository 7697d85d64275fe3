"""Sigmoid and Tanh of 8 bits, through a table of 256 entries. Source: TFLite's table of a float32 function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kakuri.model.graph import Array
from kakuri.model.quantized.fixed_point import Int64, round_away
from kakuri.model.quantized.kernels.common import Kernel, centred, clamped, core
from kakuri.model.quantized.reading import Region

Float32 = NDArray[np.float32]


def _sigmoid(x: Float32) -> Float32:
    one = np.float32(1)
    return (one / (one + np.exp(-x))).astype(np.float32)


def _table(region: Region, arrays: Sequence[Array | None]) -> Int64:
    real = region.operand(0).scale[0] * centred(region, arrays, 0).astype(np.float32)
    function = _sigmoid if core(region).op_type == "Sigmoid" else np.tanh
    scaled = function(real) * (np.float32(1) / region.output.scale[0])
    return clamped(region, round_away(scaled).astype(np.int64))


KERNELS: dict[str, Kernel] = {"Sigmoid": _table, "Tanh": _table}
