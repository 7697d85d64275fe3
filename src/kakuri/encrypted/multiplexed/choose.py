"""The smallest ring that answers precisely enough, and in it the cheapest design.

Purpose: what ``planning`` asks for packing "multiplexed".
Guarantees: the design returned compiles to a program whose expected error is within ``tolerance``.
Does not guarantee: that no larger ring would be faster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kakuri import _ckks
from kakuri.encrypted.chain import CONJUGATE_INVARIANT, STANDARD, Chain, slots_of
from kakuri.encrypted.compile import Compiled
from kakuri.encrypted.multiplexed.chains import Candidate, ChainSearch
from kakuri.encrypted.multiplexed.compile import Design, compile_assignment, lay_out
from kakuri.encrypted.network import Network, Polynomial
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
    rings: tuple[str, ...] = (CONJUGATE_INVARIANT, STANDARD)


def choose(network: Network, typical: Mapping[str, float], wanted: Wanted) -> tuple[Chain, Design, Compiled]:
    """Raises KK-E20 when no ring is large enough, KK-E14 when no layout fits."""
    tried: list[str] = []
    for log_n in wanted.log_ns:
        options = [_best(network, typical, wanted, log_n, ring) for ring in wanted.rings]
        found = [option for option in options if not isinstance(option, str)]
        if not found:
            tried.append(f"2^{log_n}: " + next(option for option in options if isinstance(option, str)))
            continue
        search, best = min(found, key=lambda pair: pair[1].seconds)
        chain = best.chain
        noise = NoiseModel(chain.n, chain.digits, chain.digit_over_special, real=chain.ring != STANDARD)
        compiled = compile_assignment(
            network,
            chain,
            noise,
            typical,
            policy=best.policy,
            assignment=search.assignment,
            prepared=search.prepared,
        )
        return chain, Design(search.assignment.choices, best.policy), compiled
    raise KakuriError(
        "KK-E20",
        f"no ring gives an error of {wanted.tolerance:.1e} at 128-bit security",
        where=_deepest(network),
        got="; ".join(tried),
        limit="rings " + ", ".join(f"2^{log_n}" for log_n in wanted.log_ns),
        hint="lower precision_bits, lower-degree activations, pruning, fewer layers, or a larger ring",
    )


def _best(
    network: Network, typical: Mapping[str, float], wanted: Wanted, log_n: int, ring: str
) -> tuple[ChainSearch, Candidate] | str:
    """The best design of one ring, or why there is none."""
    try:
        assignment = lay_out(network, log_n, slots_of(log_n, ring))
    except KakuriError as error:
        if error.problem.code != "KK-E14" or log_n == wanted.log_ns[-1]:
            raise
        return str(error.problem.what)
    search = ChainSearch(assignment, typical, log_n, ring, wanted.integer_bits, wanted.largest_bits)
    best = search.best(wanted.tolerance)
    if best is not None:
        return search, best
    levels, bits, error_bits = search.least()
    limit = _ckks.max_log_qp(log_n)
    return f"{levels} levels take {bits} bits at least, {limit:.0f} are secure; finest error 2^{error_bits:.0f}"


def _deepest(network: Network) -> str:
    """The node that has most activations above it: the one whose levels are wanting."""
    depth: dict[str, int] = {network.input_name: 0}
    for layer in network.layers:
        own = int(isinstance(layer, Polynomial))
        depth[layer.output] = own + max(depth[name] for name in layer.inputs)
    activations = [layer for layer in network.layers if isinstance(layer, Polynomial)]
    return max(activations, key=lambda layer: depth[layer.output]).name if activations else network.layers[-1].name


def bits_of(largest: float, headroom: float) -> int:
    return max(1, math.ceil(math.log2(headroom * max(largest, 2.0**-20))))
