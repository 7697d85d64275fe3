"""Weights as signed bytes, whatever the source stores, and what their zero points add to the sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.model.graph import constant
from kakuri.model.quantized import Region

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class SignedWeights:
    """weights: in [-128, 127], the source's less ``zero`` being their real meaning. zero: 0 wherever that fits."""

    weights: Int64
    zero: int


def centred_weights(region: Region) -> Int64:
    """The weights less their zero points: exact, and possibly more than 8 bits."""
    stored = constant(region.operand(1).value)
    assert stored is not None, "check refuses computed weights"
    points = region.operand(1).zero_point.reshape(-1, *(1,) * (stored.ndim - 1))
    centred: Int64 = stored.astype(np.int64) - points
    return centred


def signed_weights(region: Region) -> SignedWeights:
    """Legacy uint8 becomes int8; where that leaves a zero point, the sums need the totals of the activation."""
    centred = centred_weights(region)
    if centred.min() >= -128 and centred.max() <= 127:
        return SignedWeights(centred, 0)
    zero = int(region.operand(1).zero_point[0]) - 128
    return SignedWeights(centred + zero, zero)


def split_weights(centred: Int64) -> list[Int64]:
    """Weights of 9 bits as one or two sets of 8 that add up to them."""
    first = np.clip(centred, -128, 127)
    rest = centred - first
    return [first, rest] if rest.any() else [first]


def bias_of(region: Region, channels: int) -> Int64:
    """The source's bias, zeros without one."""
    operand = region.inputs[2] if len(region.inputs) > 2 else None
    stored = None if operand is None else constant(operand.value)
    return np.zeros(channels, np.int64) if stored is None else stored.astype(np.int64).reshape(-1)
