"""What the integer kernels share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from kakuri.errors import KakuriError
from kakuri.model.graph import Array
from kakuri.model.quantized.fixed_point import Int64
from kakuri.model.quantized.reading import Region

Kernel = Callable[[Region, Sequence[Array | None]], Int64]


def core(region: Region) -> ir.Node:
    """The region's operator. Raises KK-M20 for a requantisation."""
    if region.core is None:
        raise KakuriError("KK-M20", "the region has no core", where=region.nodes[-1].name)
    return region.core


def given(region: Region, arrays: Sequence[Array | None], index: int) -> Int64:
    """The integers of an operand that must be there, as int64."""
    found = arrays[index] if index < len(arrays) else None
    if found is None:
        raise KakuriError("KK-M20", "the region lacks an operand", where=region.nodes[-1].name, got=index)
    return np.asarray(found).astype(np.int64)


def centred(region: Region, arrays: Sequence[Array | None], index: int) -> Int64:
    """The integers of an operand less its zero point."""
    levels: Int64 = given(region, arrays, index) - region.operand(index).zero_point[0]
    return levels


def clamped(region: Region, levels: Int64) -> Int64:
    """``levels``, counted from the output's zero point, as the output's integers."""
    bounded: Int64 = np.clip(levels + region.output.zero_point[0], region.low, region.high)
    return bounded


def is_unsigned(region: Region, index: int = 0) -> bool:
    """Whether an operand has the legacy type uint8."""
    return region.operand(index).value.dtype == ir.DataType.UINT8
