from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kakuri import _ckks
from kakuri.errors import KakuriError

from . import exact
from .conftest import Ring

SLOTS = 16  # of the tiny ring
reals = st.floats(-100, 100, allow_subnormal=False)


def embedding(coefficients: np.ndarray, n: int) -> np.ndarray:
    """The polynomial's values at exp(i pi 5^j / n), j = 0 .. n/2 - 1, by direct evaluation."""
    powers = np.array([pow(5, j, 2 * n) for j in range(n // 2)])
    return np.exp(1j * np.pi * np.outer(powers, np.arange(n)) / n) @ coefficients


@given(values=arrays(np.float64, SLOTS, elements=reals))
def test_encoding_is_the_canonical_embedding(tiny: Ring, values: np.ndarray) -> None:
    plain = _ckks.encode(tiny.parameters, values, tiny.scale, 2)
    total = exact.modulus_at(tiny.parameters, 2)
    integers = exact.centred(exact.coefficients(tiny.parameters, plain.residues()), total)
    slots = embedding(np.array(integers, dtype=np.float64) / tiny.scale, tiny.parameters.n)
    # Each coefficient is rounded by at most 1/2: n/2 in any slot, over the scale; doubles add 2^-46 of the size.
    bound = tiny.parameters.n / 2 / tiny.scale + 2.0**-46 * max(1.0, np.abs(values).max())
    assert np.abs(slots - values).max() <= bound


@given(values=arrays(np.float64, st.integers(0, SLOTS), elements=reals), level=st.integers(0, 3))
def test_short_values_are_padded_and_decode_inverts(tiny: Ring, values: np.ndarray, level: int) -> None:
    decoded = _ckks.decode(_ckks.encode(tiny.parameters, values, 2.0**30, level))
    padded = np.zeros(SLOTS)
    padded[: len(values)] = values
    np.testing.assert_allclose(decoded, padded, atol=32 * 2.0**-30)


def test_coefficients_beyond_64_bits(tiny: Ring) -> None:
    """Scale 2^120 on a 165-bit modulus: relative accuracy stays that of a double."""
    values = np.linspace(-1000.0, 1000.0, SLOTS)
    decoded = _ckks.decode(_ckks.encode(tiny.parameters, values, 2.0**120, 3))
    np.testing.assert_allclose(decoded, values, atol=1000 * 2.0**-46)


def test_seven_hundred_bit_modulus() -> None:
    """A constant c encodes to the single coefficient c * scale exactly, whatever the length of the modulus."""
    primes = _ckks.ntt_primes(6, [50] * 14)
    parameters = _ckks.Parameters(6, primes, [], 1, allow_insecure=True)
    for exponent in (0, 40, 62, 63, 64, 100, 500, 690):
        values = np.full(parameters.slots, -0.8125)
        plain = _ckks.encode(parameters, values, 2.0**exponent, 13)
        total = exact.modulus_at(parameters, 13)
        integers = exact.centred(exact.coefficients(parameters, plain.residues()), total)
        expected = round(-0.8125 * 2**4) * 2 ** (exponent - 4) if exponent >= 4 else -1
        assert integers == [expected] + [0] * (parameters.n - 1)
        assert np.array_equal(_ckks.decode(plain), np.full(parameters.slots, expected / 2.0**exponent))


def test_centred_reconstruction_at_both_ends_of_the_modulus(tiny: Ring) -> None:
    """A ciphertext (c, 0) decrypts to the coefficients of c; (Q-1)/2 and its negative are the extremes."""
    parameters, level = tiny.parameters, 3
    total = exact.modulus_at(parameters, level)
    half = (total - 1) // 2
    extremes = [half, -half, half - 1, 1 - half, 0, 1, -1, 2**63, -(2**63), 2**64, -(2**64)]
    for value in extremes:
        limbs = np.zeros((2, level + 1, parameters.n), dtype=np.uint64)
        for i, q in enumerate(parameters.moduli):
            row = np.zeros(parameters.n, dtype=np.uint64)
            row[0] = value % q
            limbs[0, i] = _ckks.transform(parameters, i, row)
        scale = 2.0**100
        values = tiny.secret.decrypt(_ckks.Ciphertext.from_residues(parameters, limbs, scale), precision_bits=60)
        np.testing.assert_allclose(values, value / scale, rtol=2.0**-50, atol=2.0**-60)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_non_finite_values_are_refused(tiny: Ring, bad: float) -> None:
    with pytest.raises(KakuriError, match=r"KK-N07.*values\[2\]"):
        _ckks.encode(tiny.parameters, np.array([0.0, 1.0, bad]), tiny.scale, 3)


def test_refusals(tiny: Ring) -> None:
    cases = [
        (np.zeros(SLOTS + 1), 2.0**30, 3, "KK-N11"),
        (np.ones(2), 2.0**30, 4, "KK-N05"),
        (np.ones(2), 2.0**30, -1, "KK-N05"),
        (np.ones(2), 0.0, 3, "KK-N07"),
        (np.ones(2), -1.0, 3, "KK-N07"),
        (np.ones(2), np.nan, 3, "KK-N07"),
        (np.ones(2), 2.0**200, 3, "KK-N07"),
        (np.full(2, 2.0**20), 2.0**40, 0, "KK-N07"),
    ]
    for values, scale, level, code in cases:
        with pytest.raises(KakuriError) as refused:
            _ckks.encode(tiny.parameters, values, scale, level)
        assert refused.value.code == code
