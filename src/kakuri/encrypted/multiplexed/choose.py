"""The smallest ring that answers precisely enough, and in it the cheapest design.

Purpose: what ``planning`` asks for packing "multiplexed".
Guarantees: the design returned compiles to a program whose expected error is within ``tolerance``.
Does not guarantee: that no larger ring would be faster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kakuri.encrypted.chain import Chain
from kakuri.encrypted.compile import Compiled
from kakuri.encrypted.multiplexed.chains import ChainSearch
from kakuri.encrypted.multiplexed.compile import Design, compile_assignment, lay_out
from kakuri.encrypted.network import Network
from kakuri.encrypted.noise import NoiseModel
from kakuri.errors import KakuriError


@dataclass(frozen=True)
class Wanted:
    """tolerance: largest standard deviation of the answer's error. integer_bits: of the largest answer; largest_bits:
    of the largest value anywhere."""

    log_ns: Sequence[int]
    tolerance: float
    integer_bits: int
    largest_bits: int


def choose(network: Network, typical: Mapping[str, float], wanted: Wanted) -> tuple[Chain, Design, Compiled]:
    """Raises KK-E20 when no ring is large enough, KK-E14 when no layout fits."""
    tried: list[str] = []
    for log_n in wanted.log_ns:
        slots = 1 << (log_n - 1)
        try:
            assignment = lay_out(network, log_n, slots)
        except KakuriError as error:
            if log_n == wanted.log_ns[-1]:
                raise
            tried.append(f"2^{log_n}: {error.problem.what}")
            continue
        search = ChainSearch(assignment, typical, log_n, slots, wanted.integer_bits, wanted.largest_bits)
        best = search.best(wanted.tolerance)
        if best is None:
            tried.append(f"2^{log_n}: no chain of 128-bit security is precise enough")
            continue
        chain = best.chain
        design = Design(assignment.choices, best.policy)
        noise = NoiseModel(1 << log_n, chain.digits, chain.digit_over_special)
        compiled = compile_assignment(
            network, chain, noise, typical, policy=best.policy, assignment=assignment, prepared=search.prepared
        )
        return chain, design, compiled
    raise KakuriError(
        "KK-E20",
        f"no ring gives an error of {wanted.tolerance:.1e} at 128-bit security",
        got="; ".join(tried),
        limit="rings " + ", ".join(f"2^{log_n}" for log_n in wanted.log_ns),
        hint="lower precision_bits, lower-degree activations, or fewer layers",
    )


def bits_of(largest: float, headroom: float) -> int:
    return max(1, math.ceil(math.log2(headroom * max(largest, 2.0**-20))))
