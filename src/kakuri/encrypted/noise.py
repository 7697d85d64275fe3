"""Average-case error of CKKS operations, for choosing scales and for rounding what is decrypted.

Purpose: a standard deviation for the error in every register, in units of the message.
Guarantees: the model's terms are those of the RNS-CKKS analyses (fresh noise, rescale rounding, hybrid key switching).
Does not guarantee: a worst-case bound. ``tests/e2e`` compares measured error with it; ``SAFETY`` is the distance kept.
Source: Cheon, Han, Kim, Kim, Song (SAC 2018), section 4; Kim, Polyakov, Zucca (eprint 2021/204), section 3.

In the conjugate-invariant ring (Kim, Song, ICISC 2018) a slot is a_0 + sum a_i 2 cos(...): deviation t sqrt(2 N), and
a product of two polynomials twice that of the standard ring.

Dividing by k primes at once (the end of a key switch, with the rescales fused to it) adds the errors of k conversions
between prime bases, each uniform over one unit: the rounding grows by sqrt(k).
Over the registers of two networks, model over measured lies between 0.7 and 2, at their answers at 1.2 and 1.4.

Legend: N ring dimension, h = 2N/3 expected weight of a uniform ternary secret, sigma = 3.19 error width. A polynomial
with independent coefficients of deviation t has slots of deviation t sqrt(N).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

SIGMA = 3.19
SAFETY = 8.0  # standard deviations between the estimate and the precision we promise


@dataclass(frozen=True)
class NoiseModel:
    """digits: key-switching digits. digit_over_special: largest digit divided by P. real: conjugate-invariant ring.
    special: primes of P."""

    n: int
    digits: int = 3
    digit_over_special: float = 0.25
    real: bool = False
    special: int = 1

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

    @cached_property
    def rounding(self) -> float:
        """Rescale: tau_0 + tau_1 s with tau uniform in [-1/2, 1/2]."""
        return self._product * math.sqrt(self.n / 12.0 * (1.0 + 2.0 * self.n / 3.0))

    @cached_property
    def switched(self) -> float:
        """Sum over digits of (digit x error) / P, before the division by P."""
        return self._product * self.digit_over_special * SIGMA * self.n * math.sqrt(self.digits / 12.0)

    @cached_property
    def key_switch(self) -> float:
        """A whole key switch: ``switched``, then the rounding of ModDown."""
        return math.hypot(self.switched, self.divided(self.special))

    def divided(self, primes: int) -> float:
        """Division by so many primes at once."""
        return self.rounding * math.sqrt(primes)

    @property
    def encoding(self) -> float:
        """Rounding of a plaintext's coefficients to integers."""
        return self._one * math.sqrt(self.n / 12.0)
