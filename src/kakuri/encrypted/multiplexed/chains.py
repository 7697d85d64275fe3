"""From an assignment of layouts to moduli: the cheapest chain that is precise enough and secure in a ring.

Purpose: tries scale policies. Each is emitted on an elastic chain, which says what primes it wants; those become real
primes, special primes and digits are added, and the program is emitted again to estimate its error.
Guarantees: chains returned pass the 128-bit bound of the kernel and hold every value with the margins asked for.
Does not guarantee: the optimum over all scale assignments; a policy has seven numbers for the whole network.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from kakuri import _ckks
from kakuri.encrypted.build import Builder
from kakuri.encrypted.chain import STANDARD, Chain, slots_of
from kakuri.encrypted.fuse import fuse_rescales
from kakuri.encrypted.multiplexed.scales import MAX_LIMB_BITS, MIN_LIMB_BITS, ElasticChain, Policy
from kakuri.encrypted.noise import NoiseModel
from kakuri.encrypted.timing import seconds

MESSAGE_BITS = (20, 36)
MOST_TRIED = 24  # chains looked at in full once one is precise enough
MARGIN_BITS = 5  # sums in slots that hold no element exceed the elements by no more
_SKEWED_BITS = 0.05  # by which the skew of invented primes may enlarge a scale


@dataclass(frozen=True)
class Candidate:
    """error: expected deviation of the answer. seconds: estimated."""

    policy: Policy
    chain: Chain
    error: float
    seconds: float


@dataclass
class ChainSearch:
    """write: emits the program with a policy's scales and returns the answer's registers. largest_bits: of any value in
    the network; integer_bits: of the answer."""

    write: Callable[[Builder, Policy], tuple[int, ...]]
    log_n: int
    ring: str
    integer_bits: int
    largest_bits: int
    _sketches: dict[Policy, tuple[list[int], float]] = field(default_factory=dict)

    def sketch(self, policy: Policy) -> tuple[list[int], float]:
        """Prime sizes from level 0 upwards, and the error with the digits of a typical chain."""
        if policy not in self._sketches:
            self._sketches[policy] = self._sketch(policy)
        return self._sketches[policy]

    def _sketch(self, policy: Policy) -> tuple[list[int], float]:
        elastic = ElasticChain(slots_of(self.log_n, self.ring), math.exp2(policy.fresh_bits))
        builder = Builder(elastic, NoiseModel(1 << self.log_n, real=self.ring != STANDARD), constants=False)
        answer = self.write(builder, policy)
        level = min(builder.level(r) for r in answer)
        sizes = [elastic.bits[k] for k in range(level + 1, elastic.top_level + 1)]
        final = math.log2(max(builder.registers[r].scale for r in answer))
        base = math.ceil(final - _SKEWED_BITS) + self.integer_bits + 1
        for register in builder.registers:
            dropped = register.level - level
            if dropped >= 0:
                room = sum(sizes[:dropped])
                scale_bits = math.ceil(math.log2(register.scale) - _SKEWED_BITS)
                base = max(base, scale_bits + self.largest_bits + MARGIN_BITS + 1 - room)
        limbs = max(1, math.ceil(base / MAX_LIMB_BITS))
        bits = [max(MIN_LIMB_BITS, math.ceil(base / limbs))] * limbs + sizes
        return bits, max(builder.registers[r].error for r in answer)

    def best(self, tolerance: float) -> Candidate | None:
        """The cheapest secure chain whose error is at most ``tolerance``."""
        found = self._secure(families(), tolerance)
        best: Candidate | None = None
        for tried, option in enumerate(sorted(found, key=_Option.residues)):
            if best is not None and tried >= MOST_TRIED:
                break
            candidate = self._evaluate(option.chain, option.policy)
            if candidate is None or candidate.error > tolerance:
                continue
            if best is None or candidate.seconds < best.seconds:
                best = candidate
        return best

    def possible(self, tolerance: float) -> bool:
        """Whether some scales are precise enough and secure."""
        return any(self._secure([family], tolerance) for family in families())

    def _secure(self, wanted: list[Family], tolerance: float) -> list[_Option]:
        found = []
        guess = sum(MESSAGE_BITS) // 2
        for family in wanted:
            policy = self._coarsest(family, tolerance, guess)
            if policy is not None:
                guess = int(policy.message_bits)
                bits, _ = self.sketch(policy)
                chains = secure_chains(bits, self.log_n, self.ring, policy)
                found += [_Option(chain, policy) for chain in chains]
        return found

    def least(self) -> tuple[int, int, float]:
        """Levels and bits of moduli at the coarsest scales, and log2 of the error at the finest: why nothing fits."""
        coarse, fine = families()[0].policy(MESSAGE_BITS[0]), families()[0].policy(MESSAGE_BITS[1])
        bits, _ = self.sketch(coarse)
        return len(bits) - 1, sum(bits), math.log2(self.sketch(fine)[1])

    def _coarsest(self, family: Family, tolerance: float, guess: int) -> Policy | None:
        """The smallest message scale of ``family`` that is precise enough; errors fall as scales grow. guess: where to
        begin, since families differ little."""
        low, high = MESSAGE_BITS
        while guess <= high and self.sketch(family.policy(guess))[1] > tolerance:
            guess += 1
        if guess > high:
            return None
        while guess > low and self.sketch(family.policy(guess - 1))[1] <= tolerance:
            guess -= 1
        return family.policy(guess)

    def _evaluate(self, chain: Chain, policy: Policy) -> Candidate | None:
        """None where the real primes leave a value no room."""
        builder = Builder(chain, chain.noise, constants=False)
        answer = self.write(builder, policy)
        room = list(itertools.accumulate(math.log2(q) for q in chain.moduli))
        if any(math.log2(r.scale) + self.largest_bits + 1 > room[r.level] for r in builder.registers):
            return None
        error = max(builder.registers[r].error for r in answer)
        return Candidate(policy, chain, error, seconds(chain, fuse_rescales(builder.finish(answer))))


@dataclass(frozen=True)
class Family:
    """Policies that differ in the message scale. coarser: bits by which weights are coarser than messages. fresh: by
    which the query is finer than messages. last: by which the last layer, whose error a long sum multiplies, is finer
    than others. mask: by which masks are coarser than weights."""

    coarser: int
    limb_bits: tuple[int, int]
    fresh: int
    last: int
    mask: int

    def policy(self, message: int) -> Policy:
        weight = message - self.coarser
        mask = max(10, weight - self.mask)
        return Policy(message + self.fresh, message, weight, weight + self.last, mask, self.limb_bits)


def families() -> list[Family]:
    """A limb is dropped when so many bits are spare; from 24 bits (many small limbs) to 41 (few large ones)."""
    limbs = [(a, b) for b in (40, 43, 46, 50) for a in (24, 34, 41) if a <= b]
    return [
        Family(coarser, limb_bits, fresh, last, mask)
        for coarser, limb_bits, fresh, (last, mask) in itertools.product(
            (2, 4, 6), limbs, (0, 3), ((0, 4), (0, 8), (3, 8))
        )
    ]


@dataclass(frozen=True)
class _Option:
    chain: Chain
    policy: Policy

    def residues(self) -> int:
        """What key switching and diagonals touch, as a first guess of cost."""
        limbs = len(self.chain.moduli) + len(self.chain.special_moduli)
        return limbs * (self.chain.digits + 4)


def secure_chains(bits: list[int], log_n: int, ring: str, policy: Policy) -> list[Chain]:
    """Every number of digits that is secure, cheapest key switching first."""
    limit = _ckks.max_log_qp(log_n)
    found = []
    for alpha in range(1, len(bits) + 1):
        digits = math.ceil(len(bits) / alpha)
        if math.ceil(len(bits) / digits) != alpha:
            continue
        if sum(bits) + max(bits) * alpha > limit + alpha * 30:
            break
        widest = max(sum(bits[start : start + alpha]) for start in range(0, len(bits), alpha))
        count = math.ceil(widest / MAX_LIMB_BITS)
        special = [max(MIN_LIMB_BITS, min(MAX_LIMB_BITS, math.ceil(widest / count) + 1))] * count
        if sum(bits) + sum(special) > limit + 0.5:
            continue
        primes = _ckks.ntt_primes(log_n, [*bits, *special], ring)
        if math.fsum(math.log2(q) for q in primes) > limit:
            continue
        q, special_q = tuple(primes[: len(bits)]), tuple(primes[len(bits) :])
        found.append(Chain(q, special_q, digits, log_n, math.exp2(policy.fresh_bits), ring))
    return sorted(found, key=lambda c: c.digits * (len(c.moduli) + len(c.special_moduli)))
