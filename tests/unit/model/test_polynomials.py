"""The document's polynomials, against the digits that it prints."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from kakuri.errors import KakuriError
from kakuri.model.polynomials import document_activation, fit

#: S4, table 5.3 as printed, descending: c4, c3, c2, c1, c0.
PRINTED = {
    "relu-rg5-deg2": ("0", "0", "0.09", "0.5", "0.47"),
    "relu-rg7-deg2": ("0", "0", "0.0669", "0.5", "0.6569"),
    "relu-rg5-deg4": ("-0.00327", "0", "0.1639", "0.5", "0.2932"),
    "relu-rg7-deg4": ("-0.00119", "0", "0.11707", "0.5", "0.41056"),
    "swish-rg5-deg2": ("0", "0", "0.1", "0.5", "0.24"),
    "swish-rg7-deg2": ("0", "0", "0.0723", "0.5", "0.4517"),
    "swish-rg5-deg4": ("-0.00315", "0", "0.17", "0.5", "0.07066"),
    "swish-rg7-deg4": ("-0.001328", "0", "0.128", "0.5", "0.1773"),
}


@pytest.mark.parametrize("name", PRINTED)
def test_document_polynomial_to_one_unit_in_the_last_printed_digit(name):
    ours = document_activation(name)
    printed = [Decimal(text) for text in reversed(PRINTED[name])]
    for power, number in enumerate(printed):
        unit = Decimal(1).scaleb(int(number.as_tuple().exponent)) if number else Decimal("1e-9")
        got = Decimal(ours[power]) if power < len(ours) else Decimal(0)
        assert abs(got - number) <= unit, (name, power, got, number)


def test_degree_is_what_the_name_says():
    assert {name: len(document_activation(name)) - 1 for name in PRINTED} == {name: int(name[-1]) for name in PRINTED}


def test_square():
    assert document_activation("square") == (0.0, 0.0, 1.0)


def test_fit_reproduces_a_polynomial_of_its_degree():
    coefficients = (0.25, -1.5, 0.0, 2.0)
    got = fit(lambda x: np.polynomial.polynomial.polyval(x, coefficients), 3, 4.0)
    np.testing.assert_allclose(got, coefficients, atol=1e-10)


def test_fit_is_least_squares_optimal():
    """The residual is orthogonal to every power of x on the grid, which characterises the least-squares solution."""
    x = np.linspace(-6, 6, 1000)
    residual = np.maximum(x, 0) - np.polynomial.polynomial.polyval(x, fit(lambda t: np.maximum(t, 0), 4, 6.0))
    for power in range(5):
        assert abs(np.mean(residual * (x / 6) ** power)) < 1e-12


@pytest.mark.parametrize("name", ["", "relu", "relu-rg0-deg2", "relu-rg5-deg0", "gelu-rg5-deg2", "swish-rg5-deg2\n"])
def test_unknown_names_are_refused(name):
    with pytest.raises(KakuriError) as caught:
        document_activation(name)
    assert caught.value.code == "KK-M21"


@pytest.mark.parametrize(("degree", "radius"), [(0, 1.0), (2, 0.0), (2, -1.0), (2, float("nan")), (2, float("inf"))])
def test_unusable_settings_are_refused(degree, radius):
    with pytest.raises(KakuriError) as caught:
        fit(np.abs, degree, radius)
    assert caught.value.code == "KK-M20"
