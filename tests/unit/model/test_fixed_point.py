"""The fixed-point primitives against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kakuri.model.quantized import fixed_point

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
POSITIVE = st.integers(0, (1 << 31) - 1)


def nearest(value: Fraction, *, up: bool) -> int:
    """The nearest integer; halves up, or away from zero."""
    if up or value >= 0:
        return math.floor(value + Fraction(1, 2))
    return -math.floor(-value + Fraction(1, 2))


@given(INT32, POSITIVE)
def test_high_multiply_rounds_to_nearest(a, b):
    exact = Fraction(a * b, 1 << 31)
    got = int(fixed_point.high_multiply(np.int64(a), b))
    assert got == nearest(exact, up=True) or (abs(exact - got) == Fraction(1, 2))


@given(INT32, st.integers(0, 31))
def test_division_by_a_power_rounds_halves_away(x, exponent):
    expected = nearest(Fraction(x, 1 << exponent), up=False)
    assert int(fixed_point.divide_by_power(np.int64(x), exponent)) == expected


@given(st.floats(1e-9, 1e6))
def test_a_multiplier_is_its_number(real):
    significand, shift = fixed_point.quantize_multiplier(real)
    assert (1 << 30) <= significand < (1 << 31)
    assert abs(math.ldexp(significand, shift - 31) / real - 1) < 2**-30


def test_tiny_multipliers_are_zero():
    assert fixed_point.quantize_multiplier(0.0) == (0, 0)
    assert fixed_point.quantize_multiplier(2.0**-40) == (0, 0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_rounding_away_from_zero(items):
    expected = [nearest(Fraction(item), up=False) for item in items]
    np.testing.assert_array_equal(fixed_point.round_away(np.array(items)), expected)


def test_just_below_a_half_is_not_a_half():
    assert fixed_point.round_away(0.49999999999999994) == 0.0


@given(st.integers(-(1 << 31), 0))
def test_exp_on_negative_values(raw):
    got = int(fixed_point.exp_on_negative(np.int64(raw), 5)) / 2**31
    assert abs(got - math.exp(raw / 2**26)) < 1e-6


@given(POSITIVE)
def test_reciprocal(raw):
    got = int(fixed_point.reciprocal_of_one_plus(np.int64(raw))) / 2**31
    assert abs(got - 1 / (1 + raw / 2**31)) < 1e-8
