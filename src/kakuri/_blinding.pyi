"""Blinding and checking of matrices at memory speed (native/blinding).

Conventions
- Matrices are row-major and contiguous, float32 or float64, torch tensors or NumPy arrays in the CPU's memory; ``out``
  has the element type of the input, must not overlap it, and is written once per element and never read.
- Wrong shapes are ``ValueError``, other element types ``TypeError``. Every function on matrices releases the GIL and
  uses up to ``threads`` threads where there is work for them.
- Masks are drawn from secret random words by Fisher and Yates; drawing and use touch memory in a secret order.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Matrix = Tensor | NDArray[np.float32] | NDArray[np.float64]
Words = NDArray[np.uint64]
Doubles = Tensor | NDArray[np.float64]

class Reordering:
    """A permutation with a factor per coordinate."""

    def __init__(self, words: Words, factors: Doubles | None = None) -> None:
        """words (size,). factors (size,); without them the words' lowest bits decide on signs."""

    def __len__(self) -> int: ...

class Mixing:
    """An orthogonal matrix: two rounds, each a permutation, signs, and Hadamard transforms of blocks of 64
    coordinates (of 32, 16, ... at the end)."""

    def __init__(self, words: Words) -> None:
        """words (2 * size,)."""

    def __len__(self) -> int: ...
    def columns(self, x: Matrix, out: Matrix, *, undo: bool = False, threads: int = 1) -> None:
        """Each row of x (b, size) mixed, or unmixed, into out (b, size)."""

def reorder(
    x: Matrix,
    rows: Reordering,
    columns: Reordering,
    out: Matrix,
    *,
    undo: bool = False,
    dual: bool = False,
    threads: int = 1,
) -> None:
    """x (b, n) permuted and scaled on both sides, or put back. dual: rows take the reciprocal factors."""

def mix(x: Matrix, rows: Mixing, columns: Mixing, out: Matrix, more: Matrix | None = None, *, threads: int = 1) -> None:
    """[x; more] mixed on both sides into out (len(rows), len(columns)). What is mixed on one side only never stands in
    ``out``."""

def undo_mix(y: Matrix, rows: Mixing, columns: Mixing, out: Matrix, *, threads: int = 1) -> None:
    """The first rows, as many as ``out`` has, of what y was mixed from."""

def row_sums(
    x: Matrix, probes: Doubles, weights: Doubles, *, threads: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x (b, n), probes (k, n), weights (w, n) -> x probes^T (b, k), and the squares of x summed over columns with each
    row of weights, at last without weights (b, w + 1). At most 32 probes and 31 weights."""

def column_sums(
    x: Matrix, factors: Doubles, weights: Doubles, *, threads: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x (b, n), factors (b, k), weights (b,) -> factors^T x (k, n), and the squares of x summed over rows with weights
    (n,)."""

def worst_residual(
    y: Matrix, probes: Doubles, expected: Doubles, base: Doubles, *, scale: float, share: float, threads: int = 1
) -> float:
    """The largest squared residual over its variance: for y (b, m), probes (k, m), expected (b, k), base (b,) that of
    y probes^T - expected over base + scale (|y_i|^2 + share * its mean). Infinite where anything is not finite."""

def kernel_path() -> str:
    """'avx512', 'avx2' or 'portable': what run-time dispatch chose."""

def available_kernel_paths() -> list[str]:
    """Fastest first; the last is 'portable'."""

def set_kernel_path(path: str) -> None:
    """For tests: force a path. Paths differ in rounding only. ValueError for one that the processor lacks."""
