"""Integer kernels, one family per file: core operator -> function from a region and its operands to int64 levels.

A kernel gets the operands' integers as the graph stores them and returns the output's integers, clamped to the
region's bounds. The core of a requantisation is "".
"""

from __future__ import annotations

from collections.abc import Mapping

from kakuri.model.quantized.kernels import arithmetic, convolution, joining, pooling, resizing, softmax, tables
from kakuri.model.quantized.kernels.common import Kernel

KERNELS: Mapping[str, Kernel] = {
    **arithmetic.KERNELS,
    **convolution.KERNELS,
    **joining.KERNELS,
    **pooling.KERNELS,
    **resizing.KERNELS,
    **softmax.KERNELS,
    **tables.KERNELS,
}
