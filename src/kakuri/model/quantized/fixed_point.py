"""The 32-bit fixed-point arithmetic of TFLite's kernels, on numpy arrays.

Guarantees: bit-equal to gemmlowp's primitives and to TFLite's double-rounding multiplication, which the runtime's
    wheels are built with; arrays hold int32 values in int64, so that nothing overflows on the way.
Does not guarantee: the single-rounding variant of TFLite.
Source: gemmlowp's fixed-point documentation; LiteRT's quantisation utilities.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

LOW, HIGH = -(1 << 31), (1 << 31) - 1


def round_away(x: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """The nearest integer, halves away from zero, as C's ``round``."""
    values = np.asarray(x, np.float64)
    whole = np.trunc(values)
    return whole + np.copysign(np.abs(values - whole) >= 0.5, values)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """``real`` >= 0 as (significand, shift): about significand * 2^(shift - 31), significand < 2^31."""
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    significand = int(round_away(fraction * (1 << 31)))
    if significand == 1 << 31:
        significand, shift = significand // 2, shift + 1
    return (0, 0) if shift < -31 else (significand, shift)


def quantize_multipliers(reals: NDArray[np.float64]) -> tuple[Int64, Int64]:
    """As ``quantize_multiplier`` for each of ``reals``."""
    pairs = np.array([quantize_multiplier(float(real)) for real in reals], np.int64)
    return pairs[:, 0], pairs[:, 1]


def wrap(x: Int64) -> Int64:
    """Two's complement to 32 bits."""
    return x.astype(np.int32).astype(np.int64)


def high_multiply(a: Int64, b: Int64 | int) -> Int64:
    """a b / 2^31 to nearest, halves up, saturated."""
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    quotient = np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))
    return np.minimum(quotient, HIGH)


def divide_by_power(x: Int64, exponent: Int64 | int) -> Int64:
    """x / 2^exponent to nearest, halves away from zero."""
    shift = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << shift) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> shift) + ((x & mask) > threshold)


def saturating_shift(x: Int64, exponent: int) -> Int64:
    """x * 2^exponent, saturated; rounded when the exponent is negative."""
    return np.clip(x << exponent, LOW, HIGH) if exponent >= 0 else divide_by_power(x, -exponent)


def multiply(x: Int64, significand: Int64 | int, shift: Int64 | int) -> Int64:
    """x times a quantised multiplier: shift left, high multiplication, rounding shift right."""
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift), 0)
    return divide_by_power(high_multiply(wrap(x << left), significand), right)


_EXP_STEPS = ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242))


def exp_on_negative(a: Int64, integer_bits: int) -> Int64:
    """exp of values <= 0 with ``integer_bits`` (at most 5) integer bits, as a fraction of 2^31."""
    fraction_bits = 31 - integer_bits
    quarter = np.int64(1) << (fraction_bits - 2)
    reduced = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(saturating_shift(reduced, integer_bits))
    remainder = reduced - a
    for exponent, multiplier in _EXP_STEPS:
        if integer_bits > exponent:
            there = remainder & (np.int64(1) << (fraction_bits + exponent))
            result = np.where(there != 0, high_multiply(result, multiplier), result)
    return np.where(a == 0, HIGH, result)


def _exp_near_zero(a: Int64) -> Int64:
    """exp on [-1/4, 0), around -1/8."""
    x = a + (1 << 28)
    square = high_multiply(x, x)
    cube, fourth = high_multiply(square, x), high_multiply(square, square)
    tail = high_multiply(saturating_shift(fourth, -2) + cube, 715827883) + square
    return 1895147668 + high_multiply(x + saturating_shift(tail, -1), 1895147668)


def reciprocal_of_one_plus(a: Int64) -> Int64:
    """1 / (1 + a) for a fraction 0 <= a < 1 of 2^31, as such a fraction, by three Newton steps."""
    half = (a + HIGH + 1) >> 1
    x = 1515870810 + high_multiply(half, -1010580540)
    for _ in range(3):
        error = (1 << 29) - high_multiply(half, x)
        x = wrap(x + saturating_shift(high_multiply(x, error), 2))
    return saturating_shift(x, 1)
