"""Blinding and checking of matrices at memory speed (native/blinding).

Conventions
- Matrices are row-major and contiguous, float32 or float64, torch tensors or NumPy arrays in the CPU's memory; ``out``
  has the element type of the input, must not overlap it, and is written once per element and never read.
- Wrong shapes are ``ValueError``, other element types ``TypeError``. Every function on matrices releases the GIL and
  uses up to ``threads`` threads where there is work for them.
- Masks are drawn from secret random words by Fisher and Yates; drawing and use touch memory in a secret order.
"""

from typing import Self, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Matrix = Tensor | NDArray[np.float32] | NDArray[np.float64]
Numbers = NDArray[np.float32] | NDArray[np.float64]
Words = NDArray[np.uint64]
Doubles = Tensor | NDArray[np.float64]

class Reordering:
    """A permutation with a factor per coordinate."""

    def __init__(self, words: Words, factors: Doubles | None = None) -> None:
        """words (size,). factors (size,); without them the words' lowest bits decide on signs."""

    def __len__(self) -> int: ...
    @property
    def order(self) -> NDArray[np.int32]:
        """(size,): which coordinate each one is; a copy."""

class Mixing:
    """An orthogonal matrix: two rounds, each a permutation, signs, and Hadamard transforms of blocks of 64
    coordinates (of 32, 16, ... at the end)."""

    def __init__(self, words: Words) -> None:
        """words (2 * size,)."""

    def __len__(self) -> int: ...
    def columns(self, x: Matrix, out: Matrix, *, undo: bool = False, threads: int = 1) -> None:
        """Each row of x (b, size) mixed, or unmixed, into out (b, size)."""

class SingleMeeting:
    """What every row of an operand meets until the next step, in float32: probes, and weights for its squares."""

    @overload
    def __init__(self, probes: Doubles) -> None:
        """probes (k, n), 1 to 16, without weights: for answers."""

    @overload
    def __init__(
        self, w: Doubles, across: Doubles, norms: Doubles, noise: Doubles, length: float, share: float
    ) -> None:
        """w, across (k, n): the fingerprint of the weight, and the other side's probes. norms, noise (n,): squared
        norms of the weight's rows, and variances of w in units of u^2. length: of the sums that round. share: how much
        of the mean variance a tier that mixes grants each coordinate, else zero, and rounding and drift are one
        weight."""

    @property
    def of_rounding(self) -> float:
        """What the first weights, at most 1, are multiples of."""

    @property
    def of_drift(self) -> float:
        """And the second, when there are two."""

class DoubleMeeting(SingleMeeting):
    """The same in float64."""

class SingleLook:
    """What verification asks of a matrix x (rows, columns), and what a pass over x answered, in float32.

    Sums of n terms are taken in chains and round like one of 8 + n / 4 at most. A look is used once; before that its
    answers are undefined. One that rides on blinding sees plain columns, and rows as the worker has them but for their
    scale: permuted (``reorder``), or mixed with those added (``mix``).
    """

    def __init__(self, rows: int, columns: int, meeting: SingleMeeting | None = None) -> None:
        """Without a meeting only sums over rows are taken."""

    def add_columns(self, other: Self) -> None:
        """Asks for sums over rows too: by the second half of the dots of a look that was taken at the other operand,
        and of squares by its rows' plain squares."""

    def add_factors(self, factors: Numbers, squares: Numbers) -> None:
        """The same with factors (k, rows) and squares (rows,) in the look's precision, which are copied."""

    def crossed(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """(k, columns): factors x; and (columns,): the column's squares summed with the other's. None when not asked
        for. Beyond 512 rows sums run in double precision."""

    def gradient(self, of_spread: float, of_square: float) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """The same, with variances of the sums in place of squares: ``of_spread`` times these, and ``of_square`` times
        what the sums' own squares are: the largest of the column's and the mean of all."""

    @property
    def dots(self) -> Numbers:
        """(k, rows): probes x^T, a copy."""

    @property
    def squares(self) -> Numbers:
        """(w + 1, rows): the row's squares summed with each of the w weights, and without; a copy."""

    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def finite(self) -> bool:
        """Whether all dots are."""

    @property
    def total(self) -> float:
        """All squares without weights."""

    @property
    def seconds(self) -> float:
        """Processor time that looking took, all threads together; an estimate where other work takes the processor."""

class DoubleLook(SingleLook):
    """The same in float64."""

Look = SingleLook | DoubleLook

def reorder(
    x: Matrix,
    rows: Reordering,
    columns: Reordering,
    out: Matrix,
    *,
    undo: bool = False,
    dual: bool = False,
    look: Look | None = None,
    threads: int = 1,
) -> None:
    """x (b, n) permuted and scaled on both sides, or put back. dual: rows take the reciprocal factors. look: at x, or
    at what is put back, without sums over rows; its
    rows are in the order of the blinded side."""

def mix(
    x: Matrix,
    rows: Mixing,
    columns: Mixing,
    out: Matrix,
    shields: NDArray[np.int32] | None = None,
    *,
    scale: float = 0.0,
    sign: float = 1.0,
    look: Look | None = None,
    threads: int = 1,
) -> None:
    """x and below it N and sign * N mixed on both sides into out (len(rows), len(columns)); N = scale * shields.
    What is mixed on one side only never stands in ``out``. look: (len(rows), columns),
    at the mixed rows."""

def undo_mix(
    y: Matrix, rows: Mixing, columns: Mixing, out: Matrix, *, look: Look | None = None, threads: int = 1
) -> None:
    """The first rows, as many as ``out`` has, of what y was mixed from. look: (len(rows), columns), at
    the mixed rows, without sums over rows."""

def look_at(x: Matrix, look: Look, *, threads: int = 1) -> None:
    """Looks at x without blinding it."""

def worst_residual(seen: Look, answer: Look, *, of_answer: float, share: float) -> float:
    """The largest squared difference of the answer's dots and the first half of the operand's over its variance: w_i +
    share * mean(w) + the second weighted square (if there are two weights), w_i = the first weighted square +
    of_answer * |y_i|^2. The element types of both may differ. Infinite where anything is not finite."""

class Step:
    """A step of stochastic gradient descent, as ``kakuri.offload.sgd.SgdStep``."""

    def __init__(
        self,
        lr: float,
        momentum: float,
        dampening: float,
        decay: float,
        scale: float,
        nesterov: bool,
        maximize: bool,
    ) -> None: ...

def gradient_agrees(
    gradient: Matrix,
    r: NDArray[np.float64],
    q: NDArray[np.float64],
    front: NDArray[np.float64] | None,
    front_noise: NDArray[np.float64],
    back: NDArray[np.float64],
    back_noise: NDArray[np.float64],
    *,
    of_squares: float,
    share: float,
    limit: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """G r (k, n) and G^T q (k, m) of a gradient (n, m), when they are ``front`` (where it is known) and ``back``: every
    squared difference at most ``limit`` times its variance, which is its noise, ``of_squares`` times the square of its
    row or column of G, and ``share`` of the mean of these. Else None."""

def take_step(
    w: NDArray[np.float64],
    velocity: NDArray[np.float64] | None,
    gradient: NDArray[np.float64],
    norms: NDArray[np.float64],
    w_noise: NDArray[np.float64],
    v_noise: NDArray[np.float64],
    g_noise: NDArray[np.float64],
    first: bool,
    step: Step,
) -> None:
    """Fingerprints w and velocity (k, n) move as weights and velocity do, in place, and w_noise and v_noise (n,) grow
    by what rounding may have added. velocity: None without momentum. first: it begins with this step."""

def kernel_path() -> str:
    """'avx512', 'avx2' or 'portable': what run-time dispatch chose."""

def available_kernel_paths() -> list[str]:
    """Fastest first; the last is 'portable'."""

def set_kernel_path(path: str) -> None:
    """For tests: force a path. Paths differ in rounding only. ValueError for one that the processor lacks."""
