"""From an assignment of layouts to moduli: the cheapest chain that is precise enough and secure in a ring.

Purpose: tries scale policies. Each is emitted on an elastic chain, which says what primes it wants; those become real
primes, special primes and digits are added, and the program is emitted again to estimate its error.
Guarantees: chains returned pass the 128-bit bound of the kernel and hold every value with the margins asked for.
Does not guarantee: the optimum over all scale assignments; a policy has five numbers for the whole network.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from kakuri import _ckks
from kakuri.encrypted.build import Builder
from kakuri.encrypted.chain import STANDARD, Chain, slots_of
from kakuri.encrypted.fuse import fuse_rescales
from kakuri.encrypted.multiplexed.emit import Emitter, Prepared, Value
from kakuri.encrypted.multiplexed.scales import MAX_LIMB_BITS, MIN_LIMB_BITS, ElasticChain, Policy
from kakuri.encrypted.multiplexed.steps import Assignment
from kakuri.encrypted.noise import NoiseModel
from kakuri.encrypted.timing import seconds

MESSAGE_BITS = (20, 36)
MOST_TRIED = 12  # chains looked at in full once one is precise enough
MARGIN_BITS = 5  # sums in slots that hold no element exceed the elements by no more


@dataclass(frozen=True)
class Candidate:
    """error: expected deviation of the answer. seconds: estimated."""

    policy: Policy
    chain: Chain
    error: float
    seconds: float


@dataclass
class ChainSearch:
    """typical: value -> root mean square. largest_bits: of any value in the network; integer_bits: of the answer."""

    assignment: Assignment
    typical: Mapping[str, float]
    log_n: int
    ring: str
    integer_bits: int
    largest_bits: int
    prepared: dict[str, Prepared] = field(default_factory=dict)

    def emit(
        self, chain: Chain | ElasticChain, policy: Policy, noise: NoiseModel, *, constants: bool
    ) -> tuple[Builder, Value]:
        builder = Builder(chain, noise, constants=constants)
        emitter = Emitter(builder, policy, self.typical, self.prepared)
        return builder, emitter.run(self.assignment)

    def sketch(self, policy: Policy) -> tuple[list[int], float]:
        """Prime sizes from level 0 upwards, and the error with the digits of a typical chain."""
        elastic = ElasticChain(slots_of(self.log_n, self.ring), math.exp2(policy.fresh_bits))
        noise = NoiseModel(1 << self.log_n, real=self.ring != STANDARD)
        builder, answer = self.emit(elastic, policy, noise, constants=False)
        level = min(builder.level(r) for r in answer.registers)
        sizes = [elastic.bits[k] for k in range(level + 1, elastic.top_level + 1)]
        final = math.log2(max(builder.registers[r].scale for r in answer.registers))
        base = math.ceil(final) + self.integer_bits + 1
        for register in builder.registers:
            dropped = register.level - level
            if dropped >= 0:
                room = sum(sizes[:dropped])
                base = max(base, math.ceil(math.log2(register.scale)) + self.largest_bits + MARGIN_BITS + 1 - room)
        limbs = max(1, math.ceil(base / MAX_LIMB_BITS))
        bits = [max(MIN_LIMB_BITS, math.ceil(base / limbs))] * limbs + sizes
        return bits, max(builder.registers[r].error for r in answer.registers)

    def best(self, tolerance: float) -> Candidate | None:
        """The cheapest secure chain whose error is at most ``tolerance``."""
        chains: list[tuple[Chain, Policy]] = []
        for family in families():
            policy = self._coarsest(family, tolerance)
            if policy is not None:
                bits, _ = self.sketch(policy)
                chains += ((chain, policy) for chain in secure_chains(bits, self.log_n, self.ring, policy))
        best: Candidate | None = None
        for tried, (chain, policy) in enumerate(sorted(chains, key=lambda pair: _residues(pair[0]))):
            if best is not None and tried >= MOST_TRIED:
                break
            found = self._evaluate(chain, policy)
            if found.error <= tolerance and (best is None or found.seconds < best.seconds):
                best = found
        return best

    def least(self) -> tuple[int, int, float]:
        """Levels and bits of moduli at the coarsest scales, and log2 of the error at the finest: why nothing fits."""
        coarse, fine = families()[0].policy(MESSAGE_BITS[0]), families()[0].policy(MESSAGE_BITS[1])
        bits, _ = self.sketch(coarse)
        return len(bits) - 1, sum(bits), math.log2(self.sketch(fine)[1])

    def _coarsest(self, family: Family, tolerance: float) -> Policy | None:
        """The smallest message scale of ``family`` that is precise enough, by bisection: errors fall as scales grow."""
        low, high = MESSAGE_BITS
        if self.sketch(family.policy(high))[1] > tolerance:
            return None
        while low < high:
            middle = (low + high) // 2
            if self.sketch(family.policy(middle))[1] <= tolerance:
                high = middle
            else:
                low = middle + 1
        return family.policy(low)

    def _evaluate(self, chain: Chain, policy: Policy) -> Candidate:
        noise = NoiseModel(chain.n, chain.digits, chain.digit_over_special, real=chain.ring != STANDARD)
        builder, answer = self.emit(chain, policy, noise, constants=False)
        error = max(builder.registers[r].error for r in answer.registers)
        return Candidate(policy, chain, error, seconds(chain, fuse_rescales(builder.finish(answer.registers))))


@dataclass(frozen=True)
class Family:
    """Policies that differ in the message scale. coarser: bits by which weights are coarser than messages."""

    coarser: int
    limb_bits: tuple[int, int]
    fresh: int

    def policy(self, message: int) -> Policy:
        weight = message - self.coarser
        return Policy(message + self.fresh, message, weight, max(10, weight - 4), self.limb_bits)


def families() -> list[Family]:
    return [
        Family(coarser, (least, largest), fresh)
        for coarser, largest, least, fresh in itertools.product((2, 4, 6), (40, 42, 43, 44, 47, 50), (24, 34), (0, 3))
    ]


def _residues(chain: Chain) -> int:
    """What key switching and diagonals touch, as a first guess of cost."""
    limbs = len(chain.moduli) + len(chain.special_moduli)
    return limbs * (chain.digits + 4)


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
