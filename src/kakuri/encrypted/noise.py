"""Average-case error of CKKS operations, for choosing scales and for rounding what is decrypted.

Purpose: a standard deviation for the error in every register, in units of the message.
Guarantees: the model's terms are those of the RNS-CKKS analyses (fresh noise, rescale rounding, hybrid key switching).
Does not guarantee: a worst-case bound. ``tests/e2e`` compares measured error with it; ``SAFETY`` is the distance kept.
Source: Cheon, Han, Kim, Kim, Song (SAC 2018), section 4; Kim, Polyakov, Zucca (eprint 2021/204), section 3.

In the conjugate-invariant ring (Kim, Song, ICISC 2018) a slot is a_0 + sum a_i 2 cos(...): deviation t sqrt(2 N), and
a product of two polynomials twice that of the standard ring.

Legend: N ring dimension, h = 2N/3 expected weight of a uniform ternary secret, sigma = 3.19 error width. A polynomial
with independent coefficients of deviation t has slots of deviation t sqrt(N).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SIGMA = 3.19
SAFETY = 8.0  # standard deviations between the estimate and the precision we promise


@dataclass(frozen=True)
class NoiseModel:
    """digits: key-switching digits. digit_over_special: largest digit divided by P. real: conjugate-invariant ring."""

    n: int
    digits: int = 3
    digit_over_special: float = 0.25
    real: bool = False

    @property
    def _one(self) -> float:
        """Of one polynomial's slots, against the standard ring."""
        return math.sqrt(2.0) if self.real else 1.0

    @property
    def _product(self) -> float:
        return 2.0 if self.real else 1.0

    @property
    def fresh(self) -> float:
        """Symmetric encryption: one error polynomial."""
        return self._one * SIGMA * math.sqrt(self.n)

    @property
    def rounding(self) -> float:
        """Rescale: tau_0 + tau_1 s with tau uniform in [-1/2, 1/2]."""
        return self._product * math.sqrt(self.n / 12.0 * (1.0 + 2.0 * self.n / 3.0))

    @property
    def key_switch(self) -> float:
        """Sum over digits of (digit x error) / P, then the rounding of ModDown."""
        inner = self._product * self.digit_over_special * SIGMA * self.n * math.sqrt(self.digits / 12.0)
        return math.hypot(inner, self.rounding)

    @property
    def encoding(self) -> float:
        """Rounding of a plaintext's coefficients to integers."""
        return self._one * math.sqrt(self.n / 12.0)
