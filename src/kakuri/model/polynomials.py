"""Polynomials that stand in for activation functions.

Purpose: least-squares fits of ReLU and Swish over a symmetric range, and the names the document gives them.
Guarantees: ``document_activation(name)`` gives the eight polynomials of table 5.3 to one unit in the last printed
    digit.
Does not guarantee: anything outside the fitted range; a polynomial leaves its target quickly there.
Source: S4 (Ishiyama, Suzuki, Yamana), section 5.2 and table 5.3: least squares on ``linspace(-r, r, 1000)``.

Coefficients are ascending everywhere in Kakuri: ``c[0] + c[1] x + ... + c[d] x^d``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError

Float64 = NDArray[np.float64]


def relu(x: Float64) -> Float64:
    return np.maximum(x, 0.0)


def swish(x: Float64) -> Float64:
    """x * sigmoid(x), also called SiLU."""
    return np.asarray(x / (1.0 + np.exp(-x)), dtype=np.float64)


def fit(function: Callable[[Float64], Float64], degree: int, radius: float, points: int = 1000) -> tuple[float, ...]:
    """Ascending coefficients of the least-squares polynomial of ``degree`` on ``linspace(-radius, radius, points)``.

    Coefficients below 1e-12 of the largest are exact zeros of the symmetric problem and are set to 0.
    Raises KK-M20 for a degree below 1 or a radius that is not positive and finite.
    """
    if degree < 1 or not (np.isfinite(radius) and radius > 0):
        raise KakuriError(
            "KK-M20",
            "cannot fit a polynomial",
            got=f"degree {degree}, radius {radius}",
            limit="degree >= 1, radius > 0",
            hint="give the range of the activation's input, for example radius=5",
        )
    x = np.linspace(-radius, radius, points)
    basis = np.vander(x / radius, degree + 1, increasing=True)
    solution, *_ = np.linalg.lstsq(basis, function(x), rcond=None)
    coefficients = solution / radius ** np.arange(degree + 1)
    coefficients[np.abs(solution) < 1e-12 * np.abs(solution).max()] = 0.0
    return tuple(float(c) for c in coefficients)


_NAME = re.compile(r"(relu|swish)-rg([1-9][0-9]*)-deg([1-9][0-9]?)")
_FUNCTIONS = {"relu": relu, "swish": swish}


def document_activation(name: str) -> tuple[float, ...]:
    """Ascending coefficients for ``square`` or a name such as ``swish-rg5-deg2``. Raises KK-M21 for any other name."""
    if name == "square":
        return (0.0, 0.0, 1.0)
    match = _NAME.fullmatch(name)
    if match is None:
        raise KakuriError(
            "KK-M21",
            "unknown polynomial activation",
            got=repr(name),
            limit="square, (relu|swish)-rg<range>-deg<degree>",
            hint="for example swish-rg5-deg2",
        )
    return fit(_FUNCTIONS[match[1]], int(match[3]), float(match[2]))
