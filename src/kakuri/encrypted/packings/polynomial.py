"""Polynomial activations on one ciphertext, shared by the packings.

Purpose: c_0 + c_1 x + ... + c_d x^d with ceil(log2 d) levels where the leading coefficient is +1 or -1.
Guarantees: the operation counts of S4 (its table 5.9): degree 2 costs one square and one product with a plaintext when
c_1 is not 0; degree 4 costs two squares and two products.
Does not guarantee: the fewest levels for high degrees (Paterson-Stockmeyer is not used).
Source: S4 section 5.3 (coefficients folded into neighbours, as in nGraph-HE).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kakuri.encrypted.build import Builder

AddConstant = Callable[[int, float], int]
MAX_DEGREE = 16


def emit_polynomial(
    builder: Builder, source: int, coefficients: Sequence[float], magnitude: float, add_constant: AddConstant
) -> int:
    """Register holding the polynomial of ``source``. magnitude: root mean square of x. coefficients: ascending."""
    degree = len(coefficients) - 1
    powers = {1: source}
    if degree < 2 or abs(coefficients[-1]) != 1.0:
        return _scaled(builder, powers, coefficients, magnitude, add_constant)
    return _monic(builder, powers, coefficients, magnitude, add_constant)


def _product(builder: Builder, powers: dict[int, int], k: int, magnitude: float) -> int:
    """x^k, relinearised and not rescaled."""
    high = 1 << (k - 1).bit_length() - 1
    left = _power(builder, powers, high, magnitude)
    if 2 * high == k:
        return builder.square(left, magnitude**high)
    right = _power(builder, powers, k - high, magnitude)
    return builder.multiply(left, right, magnitude**high, magnitude ** (k - high))


def _power(builder: Builder, powers: dict[int, int], k: int, magnitude: float) -> int:
    if k not in powers:
        powers[k] = builder.rescale(_product(builder, powers, k, magnitude), "square")
    return powers[k]


def _monic(
    builder: Builder, powers: dict[int, int], coefficients: Sequence[float], magnitude: float, add_constant: AddConstant
) -> int:
    """Leading coefficient +1 or -1: the highest power is added as it is, at the scale of the product."""
    degree = len(coefficients) - 1
    top = _product(builder, powers, degree, magnitude)
    goal, level = builder.registers[top].scale, builder.level(top)
    terms = []
    for k in range(1, degree):
        if coefficients[k] != 0.0:
            power = builder.drop_to(_power(builder, powers, k, magnitude), level)
            terms.append(builder.multiply_scalar(power, coefficients[k], magnitude**k, goal))
    if coefficients[-1] > 0:
        total = builder.add_many([top, *terms])
    elif terms:
        total = builder.subtract(builder.add_many(terms), top)
    else:
        total = builder.negate(top)
    return add_constant(builder.rescale(total, "square"), coefficients[0])


def _scaled(
    builder: Builder, powers: dict[int, int], coefficients: Sequence[float], magnitude: float, add_constant: AddConstant
) -> int:
    """Any leading coefficient: one more level for the products with the coefficients."""
    used = [k for k in range(1, len(coefficients)) if coefficients[k] != 0.0]
    registers = {k: _power(builder, powers, k, magnitude) for k in used}
    level = min(builder.level(r) for r in registers.values())
    goal = builder.chain.modulus(level) * builder.chain.scale
    terms = [
        builder.multiply_scalar(builder.drop_to(registers[k], level), coefficients[k], magnitude**k, goal) for k in used
    ]
    return add_constant(builder.rescale(builder.add_many(terms), "square"), coefficients[0])
