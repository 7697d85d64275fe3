"""Weights as signed bytes, whatever the source stores, and what their sums start from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.kernels.integer.kernel import point
from kakuri.model.graph import constant
from kakuri.model.quantized import Region

Int64 = NDArray[np.int64]


def centred_weights(region: Region) -> Int64:
    """The weights less their zero points: exact, and possibly more than 8 bits."""
    stored = constant(region.operand(1).value)
    assert stored is not None, "check refuses computed weights"
    points = region.operand(1).zero_point.reshape(-1, *(1,) * (stored.ndim - 1))
    centred: Int64 = stored.astype(np.int64) - points
    return centred


def split_weights(centred: Int64) -> list[Int64]:
    """Sets of 8 bits that add up to the weights; the first has nearly all there is.

    Legacy uint8 has one zero point for a tensor. Only the few weights that set its scale are beyond 8 bits.
    """
    sets: list[Int64] = []
    rest = centred
    while not sets or rest.any():
        sets.append(np.clip(rest, -128, 127))
        rest = rest - sets[-1]
    return sets


def first_sums(region: Region, weights: Int64) -> tuple[Int64, int]:
    """What the sums start from, (channels,), so that the activation's zero point is accounted for; a bound of |sum|.

    weights: (channels, taps), less their zero points.
    """
    start = _bias(region, len(weights)) - point(region.operand(0)) * weights.sum(axis=1)
    return start, int((np.abs(start) + 255 * np.abs(weights).sum(axis=1)).max())


def _bias(region: Region, channels: int) -> Int64:
    """The source's bias, zeros without one."""
    operand = region.inputs[2] if len(region.inputs) > 2 else None
    stored = None if operand is None else constant(operand.value)
    return np.zeros(channels, np.int64) if stored is None else stored.astype(np.int64).reshape(-1)
