"""Moduli, scales and ring: from what each level is used for to checked CKKS parameters.

Purpose: pick the smallest ring in which the program fits at 128-bit security and the wanted precision.
Guarantees: the parameters pass the kernel's own security check; every level's prime has the size its use needs.
Does not guarantee: the best possible packing of scales into limbs (several small scales per limb is not done).

A level is consumed by one kind of rescale; the kind says how many bits the prime wants:
``square``: the message scale, so that it is kept; ``linear``: the weight scale; ``masked``: weight scale times mask
scale; ``plain``: the scale of a vector plaintext.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kakuri import _ckks
from kakuri.encrypted.noise import NoiseModel

MAX_PRIME_BITS = 49
MIN_PRIME_BITS = 22


STANDARD = "standard"
CONJUGATE_INVARIANT = "conjugate_invariant"


def slots_of(log_n: int, ring: str) -> int:
    """Real slots of a ring of dimension 2^log_n."""
    return 1 << log_n if ring == CONJUGATE_INVARIANT else 1 << (log_n - 1)


@dataclass(frozen=True)
class Precision:
    """Bits of the message scale, of a scalar weight, of a mask and of a vector plaintext."""

    message_bits: int = 38
    weight_bits: int = 25
    mask_bits: int = 24
    plain_bits: int = 38

    def bits(self, kind: str) -> int:
        wanted = {
            "square": self.message_bits,
            "linear": self.weight_bits + 8,
            "masked": self.weight_bits + self.mask_bits,
            "plain": self.plain_bits,
        }[kind]
        return min(max(wanted, MIN_PRIME_BITS), MAX_PRIME_BITS)


def precisions() -> list[Precision]:
    """From the most precise setting to the coarsest that still answers usefully."""
    return [
        Precision(message, weight_bits=min(25, weight), mask_bits=min(24, weight - 1), plain_bits=message)
        for message, weight in ((40, 25), (38, 25), (36, 24), (34, 22), (32, 21), (30, 20), (28, 19), (26, 18))
    ]


@dataclass(frozen=True)
class Chain:
    """moduli[l] is consumed when rescaling from level l; moduli[0] holds the answer. scale: of fresh messages."""

    moduli: tuple[int, ...]
    special_moduli: tuple[int, ...]
    digits: int
    log_n: int
    scale: float
    ring: str = STANDARD

    @property
    def n(self) -> int:
        return 1 << self.log_n

    @property
    def slots(self) -> int:
        return slots_of(self.log_n, self.ring)

    @property
    def top_level(self) -> int:
        return len(self.moduli) - 1

    def modulus(self, level: int) -> float:
        return float(self.moduli[level])

    @property
    def digit_over_special(self) -> float:
        return math.exp2(_largest_digit_bits(self.moduli, self.digits) - math.fsum(map(math.log2, self.special_moduli)))

    @property
    def noise(self) -> NoiseModel:
        """Errors of operations in this ring with these key-switching digits."""
        real = self.ring == CONJUGATE_INVARIANT
        return NoiseModel(self.n, self.digits, self.digit_over_special, real=real, special=len(self.special_moduli))

    def parameters(self) -> _ckks.Parameters:
        return _ckks.Parameters(self.log_n, list(self.moduli), list(self.special_moduli), self.digits, ring=self.ring)


def level_bits(uses: Mapping[int, set[str]], depth: int, precision: Precision, integer_bits: int) -> list[int]:
    """Prime sizes for levels 0 ... depth. integer_bits: of the largest value that must be readable at level 0."""
    base = precision.message_bits + integer_bits + 1
    return [base, *(max(precision.bits(kind) for kind in uses.get(level, {"linear"})) for level in range(1, depth + 1))]


def find_chain(
    bits: list[int], log_n: int, precision: Precision, ring: str = STANDARD, *, margin_bits: int = 2
) -> Chain | None:
    """The chain with the fewest key-switching digits that is secure in this ring, or None."""
    if bits[0] > MAX_PRIME_BITS:
        return None
    limit = _ckks.max_log_qp(log_n)
    for digits in range(1, len(bits) + 1):
        special = _special_bits(_largest_digit_bits([1 << b for b in bits], digits) + margin_bits)
        if sum(bits) + sum(special) >= limit:
            continue
        # Largest first: the nearest primes to 2^49 must stay below 2^50 together with everything else.
        primes = _ckks.ntt_primes(log_n, [*bits, *special], ring)
        moduli, special_moduli = tuple(primes[: len(bits)]), tuple(primes[len(bits) :])
        chain = Chain(moduli, special_moduli, digits, log_n, math.exp2(precision.message_bits), ring)
        if math.fsum(math.log2(p) for p in primes) <= limit:
            return chain
    return None


def _largest_digit_bits(moduli: list[int] | tuple[int, ...], digits: int) -> float:
    alpha = math.ceil(len(moduli) / digits)
    return max(math.fsum(math.log2(q) for q in moduli[start : start + alpha]) for start in range(0, len(moduli), alpha))


def _special_bits(total: float) -> list[int]:
    count = math.ceil(total / MAX_PRIME_BITS)
    return [max(MIN_PRIME_BITS, math.ceil(total / count))] * count
