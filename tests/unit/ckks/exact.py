"""Slow, exact arithmetic in Z[X]/(X^N+1) with Python integers: the independent oracle of the small-ring tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kakuri import _ckks


def multiply(a: Sequence[int], b: Sequence[int], modulus: int) -> list[int]:
    """Negacyclic product by the schoolbook method."""
    n = len(a)
    out = [0] * n
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            k, sign = ((i + j) % n, -1 if i + j >= n else 1)
            out[k] += sign * x * y
    return [c % modulus for c in out]


def automorphism(a: Sequence[int], galois: int, modulus: int) -> list[int]:
    """a(X^galois)."""
    n = len(a)
    out = [0] * n
    for i, x in enumerate(a):
        k = i * galois % (2 * n)
        out[k % n] += -x if k >= n else x
    return [c % modulus for c in out]


def coefficients(parameters: _ckks.Parameters, limbs: NDArray[np.uint64]) -> list[int]:
    """Residues in NTT form, (level + 1, N), to coefficients in [0, Q) by the Chinese remainder theorem."""
    moduli = parameters.moduli[: len(limbs)]
    rows = [[int(c) for c in _ckks.transform(parameters, i, row, inverse=True)] for i, row in enumerate(limbs)]
    total = 1
    for q in moduli:
        total *= q
    out = [0] * parameters.n
    for q, row in zip(moduli, rows, strict=True):
        lift = total // q * pow(total // q, -1, q)
        out = [(x + c * lift) % total for x, c in zip(out, row, strict=True)]
    return out


def centred(values: Sequence[int], modulus: int) -> list[int]:
    return [v - modulus if v > modulus // 2 else v for v in values]


def modulus_at(parameters: _ckks.Parameters, level: int) -> int:
    total = 1
    for q in parameters.moduli[: level + 1]:
        total *= q
    return total


def secret_coefficients(data: bytes, n: int) -> list[int]:
    """Coefficients from SecretKey.to_bytes(): the last n/4 bytes, 2 bits each."""
    packed = data[-n // 4 :]
    codes = [(packed[i // 4] >> (2 * (i % 4))) & 3 for i in range(n)]
    return [(0, 1, -1)[c] for c in codes]
