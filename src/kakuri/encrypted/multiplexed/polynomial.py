"""Activations with few levels: squares are completed, factors move into the value's gain.

Purpose: degree 2 as one square (x + c1 / 2 c2)^2, degree 4 as two (a square of a shifted square plus a linear rest);
other degrees by a baby-step giant-step evaluation of powers with ceil(log2(degree)) squarings and one product.
Guarantees: exact in real arithmetic: result = gain * register.
Source: completing the square; Paterson, Stockmeyer, SIAM J. Comput. 2 (1973).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kakuri.encrypted.build import Builder
from kakuri.encrypted.multiplexed.scales import Policy, settle


def evaluate(
    builder: Builder, policy: Policy, source: int, coefficients: Sequence[float], magnitude: float
) -> tuple[int, float]:
    """(register, gain): the polynomial of ``source`` is gain times the register. coefficients: ascending."""
    c = list(coefficients)
    while len(c) > 1 and c[-1] == 0.0:
        c.pop()
    degree = len(c) - 1
    if degree == 1:
        return _plus(builder, source, c[0] / c[1]), c[1]
    if degree == 2:
        return _square(builder, policy, source, c, magnitude)
    if degree == 4:
        return _quartic(builder, policy, source, c, magnitude)
    return _general(builder, policy, source, c, magnitude), 1.0


def _plus(builder: Builder, register: int, value: float) -> int:
    return builder.add_scalar(register, value) if value != 0.0 else register


def _square(builder: Builder, policy: Policy, source: int, c: list[float], magnitude: float) -> tuple[int, float]:
    shift = c[1] / (2.0 * c[2])
    squared = settle(builder, builder.square(_plus(builder, source, shift), math.hypot(magnitude, shift)), policy)
    return _plus(builder, squared, c[0] / c[2] - shift * shift), c[2]


def _quartic(builder: Builder, policy: Policy, source: int, c: list[float], magnitude: float) -> tuple[int, float]:
    """u = x + c3 / 4 c4; then (u^2 + A/2)^2 + B u + C over c4."""
    c0, c1, c2, c3 = (value / c[4] for value in c[:4])
    s = c3 / 4.0
    quadratic = c2 - 6.0 * s * s
    linear = c1 - 2.0 * c2 * s + 8.0 * s**3
    constant = c0 - c1 * s + c2 * s * s - 3.0 * s**4
    u = _plus(builder, source, s)
    size = math.hypot(magnitude, s)
    inner = _plus(builder, settle(builder, builder.square(u, size), policy), quadratic / 2.0)
    outer = builder.square(inner, size * size + abs(quadratic) / 2.0)
    if linear != 0.0:
        outer = builder.add_scaled([outer, u], [1.0, linear], size)
    return _plus(builder, settle(builder, outer, policy), constant - quadratic * quadratic / 4.0), c[4]


def _general(builder: Builder, policy: Policy, source: int, c: list[float], magnitude: float) -> int:
    """Sum of blocks of a baby-step length times giant powers; coefficients multiply at scales that meet."""
    degree = len(c) - 1
    step = 1 << max(1, (degree.bit_length() + 1) // 2)
    powers = {1: source}

    def power(k: int) -> int:
        if k not in powers:
            high = 1 << (k - 1).bit_length() - 1
            low = k - high
            left = power(high)
            if low == high:
                product = builder.square(left, magnitude**high)
            else:
                product = builder.multiply(left, power(low), magnitude**high, magnitude**low)
            powers[k] = settle(builder, product, policy)
        return powers[k]

    total: int | None = None
    constant = c[0]
    for start in range(0, degree + 1, step):
        block = {k: c[start + k] for k in range(step) if start + k <= degree and c[start + k] != 0.0}
        own = block.pop(0, 0.0) if start else 0.0
        block.pop(0, None)
        part: int | None = None
        if block:
            terms = [power(k) for k in block]
            part = builder.weighted_sum(terms, list(block.values()), policy.weight_bits, magnitude)
            part = settle(builder, _plus(builder, part, own), policy)
        if start:
            giant = power(start)
            if part is None:
                if own == 0.0:
                    continue
                part = settle(builder, builder.weighted_sum([giant], [own], policy.weight_bits, magnitude), policy)
            else:
                part = settle(builder, builder.multiply(part, giant, 1.0, magnitude**start), policy)
        if part is not None:
            total = part if total is None else builder.add_scaled([total, part], [1.0, 1.0], magnitude)
    assert total is not None
    return _plus(builder, total, constant)
