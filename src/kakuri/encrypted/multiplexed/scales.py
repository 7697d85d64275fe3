"""Scales that share limbs: a rescale follows only where the scale has grown by a whole limb.

Purpose: the multiplexed packing's levels. Scales of messages are small (22 to 30 bits), a limb is up to 50 bits wide; a
product is rescaled when what is left above the message scale fills a limb of at least ``limb_bits``.
Guarantees: every prime lies between 2^22 and 2^50; the scale after a rescale is never below ``message_bits``.
Does not guarantee: the fewest bits for a wanted precision; ``chains.py`` tries many policies and compares them.

``ElasticChain`` invents each level's prime when the first rescale asks for it; ``fixed`` replays it on real primes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from kakuri.encrypted.build import Builder

MIN_LIMB_BITS = 22
MAX_LIMB_BITS = 50
SLACK_BITS = 0.6  # real primes miss their size by a little
SKEW = 2.0**-20  # of invented primes, so that scales are equal only where they will be on real ones


@dataclass(frozen=True)
class Policy:
    """fresh_bits: scale of the query. message_bits: least scale after a rescale. weight_bits: scale of diagonals.
    answer_bits: of the last layer's. mask_bits: scale of masks. limb_bits: least and largest size of a limb to drop."""

    fresh_bits: float
    message_bits: float
    weight_bits: float
    answer_bits: float
    mask_bits: float
    limb_bits: tuple[int, int]


@dataclass
class ElasticChain:
    """Levels from ``top_level`` downwards; ``bits`` of those that were used."""

    slots: int
    scale: float
    top_level: int = 60
    bits: dict[int, int] = field(default_factory=dict)

    def modulus(self, level: int) -> float:
        return math.exp2(self.bits.get(level, MAX_LIMB_BITS)) * (1.0 - (level + 1) * SKEW)

    def propose(self, level: int, spare_bits: float, limb_bits: tuple[int, int]) -> bool:
        """Whether to drop ``level`` when the scale exceeds the message scale by ``spare_bits``."""
        if level in self.bits:
            return spare_bits >= self.bits[level]
        if spare_bits < limb_bits[0]:
            return False
        self.bits[level] = math.floor(min(spare_bits, limb_bits[1]))
        return True


def settle(builder: Builder, register: int, policy: Policy) -> int:
    """Rescales while a limb's worth of scale is spare."""
    while True:
        state = builder.registers[register]
        spare = math.log2(state.scale) - policy.message_bits
        chain = builder.chain
        if isinstance(chain, ElasticChain):
            wanted = chain.propose(state.level, spare, policy.limb_bits)
        else:
            wanted = state.level > 0 and spare >= math.log2(chain.modulus(state.level)) - SLACK_BITS
        if not wanted:
            return register
        register = builder.rescale(register, "packed")
