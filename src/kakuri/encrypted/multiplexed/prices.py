"""What operations cost, for choosing layouts: transforms and multiply-accumulates, priced per machine or by default.

Purpose: a function of limbs only, so that a search can price thousands of candidates.
Guarantees: none about seconds; ratios are what the search needs. ``cost.py`` predicts seconds of a finished program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Prices:
    """n: ring dimension. special: special primes. In nanoseconds: butterfly; multiply_add, per residue of a diagonal; key,
    per residue of a switching key, which comes from memory; load, per coefficient of a query that is unpacked."""

    n: int
    special: int = 1
    butterfly: float = 0.8
    multiply_add: float = 0.35
    key: float = 0.9
    load: float = 4.0

    def _transforms(self, count: float) -> float:
        return count * self.n / 2 * math.log2(self.n) * self.butterfly

    def _digits(self, limbs: int) -> int:
        return math.ceil(limbs / self.special)

    def _inner(self, limbs: int) -> float:
        return 2.0 * self._digits(limbs) * (limbs + self.special) * self.n * self.key

    def mod_up(self, limbs: int) -> float:
        return self._transforms(limbs + self._digits(limbs) * (limbs + self.special) - limbs)

    def mod_down(self, limbs: int) -> float:
        """Both polynomials."""
        return self._transforms(2.0 * (limbs + self.special))

    def baby(self, limbs: int) -> float:
        return self._inner(limbs)

    def giant(self, limbs: int) -> float:
        return self.mod_down(limbs) / 2 + self.mod_up(limbs) + self._inner(limbs)

    def diagonal(self, limbs: int) -> float:
        return 2.0 * (limbs + self.special) * self.n * self.multiply_add

    def rotation(self, limbs: int) -> float:
        """Also a relinearisation."""
        return self.mod_up(limbs) + self._inner(limbs) + self.mod_down(limbs)

    def rescale(self, limbs: int) -> float:
        return self._transforms(2.0 * limbs)

    def fresh(self, limbs: int) -> float:
        """One ciphertext of a query."""
        return limbs * self.n * self.load
