"""From an assignment of layouts to moduli: the cheapest chain that is precise enough and secure in a ring.

Purpose: tries scale policies. Each is emitted on an elastic chain, which says what primes it wants; those become real
primes, special primes and digits are added, and the program is emitted again to estimate its error.
Guarantees: chains returned pass the 128-bit bound of the kernel and hold every value with the margins asked for.
Does not guarantee: the optimum over all scale assignments; a policy has five numbers for the whole network.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kakuri import _ckks
from kakuri.encrypted.build import Builder
from kakuri.encrypted.chain import Chain
from kakuri.encrypted.cost import seconds
from kakuri.encrypted.fuse import fuse_rescales
from kakuri.encrypted.multiplexed.emit import Emitter, Prepared, Value
from kakuri.encrypted.multiplexed.scales import MAX_LIMB_BITS, MIN_LIMB_BITS, ElasticChain, Policy
from kakuri.encrypted.multiplexed.steps import Assignment
from kakuri.encrypted.noise import NoiseModel

SEARCH_BEYOND = 1.3  # candidates dearer than the best so far by this factor are not looked at
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
    slots: int
    integer_bits: int
    largest_bits: int
    prepared: dict[str, Prepared] = field(default_factory=dict)

    def emit(self, chain: Chain | ElasticChain, policy: Policy, noise: NoiseModel) -> tuple[Builder, Value]:
        builder = Builder(chain, noise)
        emitter = Emitter(builder, policy, self.typical, self.prepared)
        return builder, emitter.run(self.assignment)

    def bits(self, policy: Policy) -> list[int]:
        """Prime sizes from level 0 upwards."""
        elastic = ElasticChain(self.slots, math.exp2(policy.fresh_bits))
        builder, answer = self.emit(elastic, policy, NoiseModel(1 << self.log_n))
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
        return [max(MIN_LIMB_BITS, math.ceil(base / limbs))] * limbs + sizes

    def best(self, tolerance: float) -> Candidate | None:
        """The cheapest secure chain whose error is at most ``tolerance``."""
        limit = _ckks.max_log_qp(self.log_n)
        options: dict[tuple[int, ...], Policy] = {}
        for policy in policies():
            bits = tuple(self.bits(policy))
            if sum(bits) + MIN_LIMB_BITS < limit and (bits not in options or _finer(policy, options[bits])):
                options[bits] = policy
        chains = [
            (chain, policy)
            for bits, policy in options.items()
            for chain in secure_chains(list(bits), self.log_n, self.slots, policy)
        ]
        best: Candidate | None = None
        for chain, policy in sorted(chains, key=lambda pair: _residues(pair[0])):
            if best is not None and _residues(chain) > SEARCH_BEYOND * _residues(best.chain):
                break
            found = self._evaluate(chain, policy)
            if found.error <= tolerance and (best is None or found.seconds < best.seconds):
                best = found
        return best

    def _evaluate(self, chain: Chain, policy: Policy) -> Candidate:
        noise = NoiseModel(1 << self.log_n, chain.digits, chain.digit_over_special)
        builder, answer = self.emit(chain, policy, noise)
        error = max(builder.registers[r].error for r in answer.registers)
        return Candidate(policy, chain, error, seconds(chain, fuse_rescales(builder.finish(answer.registers))))


def policies() -> Iterator[Policy]:
    """message scale, weight scale, limbs; the query's scale is the message scale and a few bits."""
    for message, finer, largest, least, fresh in itertools.product(
        range(20, 33), range(2, 8), (38, 40, 42, 43, 44, 46, 48, 50), (24, 34), (0, 3)
    ):
        weight = message - finer
        yield Policy(message + fresh, message, weight, max(10, weight - 4), (least, largest))


def _finer(a: Policy, b: Policy) -> bool:
    return (a.message_bits + a.weight_bits, a.fresh_bits) > (b.message_bits + b.weight_bits, b.fresh_bits)


def _residues(chain: Chain) -> int:
    """What key switching and diagonals touch, as a first guess of cost."""
    limbs = len(chain.moduli) + len(chain.special_moduli)
    return limbs * (chain.digits + 4)


def secure_chains(bits: list[int], log_n: int, slots: int, policy: Policy) -> list[Chain]:
    """Every number of digits that is secure, cheapest key switching first."""
    limit = _ckks.max_log_qp(log_n)
    found = []
    for alpha in range(1, len(bits) + 1):
        digits = math.ceil(len(bits) / alpha)
        if math.ceil(len(bits) / digits) != alpha:
            continue
        widest = max(sum(bits[start : start + alpha]) for start in range(0, len(bits), alpha))
        count = math.ceil(widest / MAX_LIMB_BITS)
        special = [max(MIN_LIMB_BITS, min(MAX_LIMB_BITS, math.ceil(widest / count) + 1))] * count
        if sum(bits) + sum(special) > limit + 0.5:
            continue
        primes = _ckks.ntt_primes(log_n, [*bits, *special])
        if math.fsum(math.log2(q) for q in primes) > limit:
            continue
        found.append(
            Chain(tuple(primes[: len(bits)]), tuple(primes[len(bits) :]), digits, log_n, math.exp2(policy.fresh_bits))
        )
    return sorted(found, key=lambda c: c.digits * (len(c.moduli) + len(c.special_moduli)))
