"""Matrices as adversaries hold them: one sample per row, float32, and planted ones for self-tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.target import Messages, messages

Float64 = NDArray[np.float64]


def as_rows(matrix: NDArray[Any]) -> Messages:
    """Each row of (n, m) as little-endian float32."""
    return messages([np.ascontiguousarray(row, "<f4").tobytes() for row in matrix])


def rows_of(samples: Messages, part: int = 0) -> Float64:
    """(n, m): message ``part`` of every sample as float32, cut to the shortest; what is not finite becomes 0."""
    data = [sample[part] if part < len(sample) else b"" for sample in samples]
    width = min(len(item) for item in data) // 4
    table = np.stack([np.frombuffer(item, "<f4", width) for item in data]).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(table) < 1e30, table, 0.0)


def matrix_from(data: bytes, columns: int) -> Float64:
    """(n, columns) from float32 bytes; whole rows only."""
    usable = len(data) // (4 * columns) * (4 * columns)
    return np.frombuffer(data[:usable], "<f4").reshape(-1, columns).astype(np.float64)


def signed_permutation(size: int, random: np.random.Generator) -> Float64:
    """(size, size)."""
    matrix = np.zeros((size, size))
    matrix[np.arange(size), random.permutation(size)] = random.choice([-1.0, 1.0], size)
    return matrix


def orthogonal(size: int, random: np.random.Generator) -> Float64:
    """(size, size), Haar distributed."""
    q, r = np.linalg.qr(random.standard_normal((size, size)))
    return np.asarray(q * np.sign(np.diag(r)))
