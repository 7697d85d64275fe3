"""T3: additive shares on four workers that do not collude.

Both operands become integers, and each the sum of two shares modulo 2^64:

    A 2^f = A_0 + A_1,   B 2^g = B_0 + B_1,   A B 2^(f+g) = A_0 B_0 + A_0 B_1 + A_1 B_0 + A_1 B_1.

Worker (i, j) gets A_i and B_j and multiplies. A_0 and B_0 are uniform and expanded from seeds, so that only A_1 and B_1
travel. Every product is shared afresh: Y = X W, dX = dY W^T and dW = X^T dY are three unrelated ones.

Exactness. f and g are the largest for which the largest row norm a of A and column norm b of B stay at or below 2^31;
then no entry of the product leaves +-2^62, and

    |Y_ij - (A B)_ij| <= 2^-29 sqrt(q) a b   for q summands (from rounding each operand by at most 2^-31 a, 2^-31 b).

Guarantees: what one worker sees is uniform and independent of A and B: sizes, order and times are all it learns.
Does not guarantee: anything when the two workers of a row or column collude: (0, j) with (1, j) hold A, (i, 0) with
(i, 1) hold B. Use four owners.
Source: additive secret sharing over a ring, as in Ito, Saito and Nishizeki 1987; the bound is arithmetic.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kakuri.errors import KakuriError
from kakuri.offload import ring

WORKERS = 4
_NORM_BITS, _MOST = 31, 1000


class AdditiveShares:
    name = "T3"
    mixes = False
    summary = "additive shares on four workers that do not collude; hides everything but sizes and times"

    def exponent(self, norm: float) -> int:
        """The largest f up to 1000 with norm * 2^f at most 2^31. Raises KK-O32 for a norm that is not finite."""
        if not math.isfinite(norm):
            raise KakuriError(
                "KK-O32",
                "the training diverged: an operand is not finite",
                hint="lower the learning rate, or clip gradients",
            )
        fraction, power = math.frexp(norm)  # norm = fraction * 2^power, fraction in [1/2, 1) or 0
        return min(_NORM_BITS - power + int(fraction == 0.5), _MOST)

    def encode(self, x: Tensor, f: int) -> Tensor:
        """x 2^f, rounded to int64."""
        return (x.detach().double() * 2.0**f).round().to(torch.int64)

    def decode(self, y: Tensor, f: int, g: int, dtype: torch.dtype) -> Tensor:
        """y 2^-(f + g)."""
        return (y.double() * 2.0**-f * 2.0**-g).to(dtype)

    def split(self, x: Tensor, seed: bytes) -> Tensor:
        """The share that travels: x - expand(seed) modulo 2^64."""
        return x - ring.expand(seed, (x.shape[0], x.shape[1]))
