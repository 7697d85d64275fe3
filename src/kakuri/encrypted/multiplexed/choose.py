"""The smallest ring that answers precisely enough, and in it the cheapest design.

Purpose: what ``planning`` asks for packing "multiplexed".
Guarantees: the design returned compiles to a program whose expected error is within ``tolerance``.
Does not guarantee: that no larger ring would be faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kakuri import _ckks
from kakuri.encrypted.build import Builder
from kakuri.encrypted.chain import CONJUGATE_INVARIANT, STANDARD, Chain, slots_of
from kakuri.encrypted.compile import Compiled
from kakuri.encrypted.multiplexed.chains import Candidate, ChainSearch
from kakuri.encrypted.multiplexed.compile import Design, compile_assignment, lay_out
from kakuri.encrypted.multiplexed.emit import Emitter, Prepared
from kakuri.encrypted.multiplexed.outline import Outline
from kakuri.encrypted.multiplexed.scales import Policy
from kakuri.encrypted.multiplexed.stages import Graph, stages_of
from kakuri.encrypted.multiplexed.steps import Assignment
from kakuri.encrypted.network import Network, Polynomial
from kakuri.errors import KakuriError

MUCH_DEARER = 1.25  # the other ring of the same size, after any stage: an operation differs by less


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
    graph = stages_of(network)
    tried: list[str] = []
    for log_n in wanted.log_ns:
        found: _Found | None = None
        for ring in wanted.rings:
            option = _best(graph, typical, wanted, (log_n, ring), found)
            if isinstance(option, str):
                tried.append(f"2^{log_n}, {ring}: {option}")
            elif found is None or option.best.seconds < found.best.seconds:
                found = option
        if found is not None:
            return _compiled(network, typical, found)
    raise KakuriError(
        "KK-E20",
        f"no ring gives an error of {wanted.tolerance:.1e} at 128-bit security",
        where=_deepest(network),
        got="; ".join(tried),
        limit="rings " + ", ".join(f"2^{log_n}" for log_n in wanted.log_ns),
        hint="lower precision_bits, lower-degree activations, pruning, fewer layers, or a larger ring",
    )


@dataclass(frozen=True)
class _Found:
    assignment: Assignment
    prepared: dict[str, Prepared]
    best: Candidate


def _compiled(network: Network, typical: Mapping[str, float], found: _Found) -> tuple[Chain, Design, Compiled]:
    chain, policy = found.best.chain, found.best.policy
    compiled = compile_assignment(
        network,
        chain,
        chain.noise,
        typical,
        policy=policy,
        assignment=found.assignment,
        prepared=found.prepared,
    )
    return chain, Design(found.assignment.choices, policy), compiled


def _best(
    graph: Graph, typical: Mapping[str, float], wanted: Wanted, at: tuple[int, str], rival: _Found | None
) -> _Found | str:
    """The best design of one ring, or why there is none. at: log_n and ring. rival: of another ring of the same size,
    which layouts that are much dearer cannot beat."""
    log_n, ring = at

    def chains(write: Callable[[Builder, Policy], tuple[int, ...]]) -> ChainSearch:
        return ChainSearch(write, log_n, ring, wanted.integer_bits, wanted.largest_bits)

    outline = chains(Outline(graph, typical).write)
    if not outline.possible(wanted.tolerance):
        return _why(outline)
    most = () if rival is None else tuple(MUCH_DEARER * price for price in rival.assignment.prices)
    try:
        assignment = lay_out(graph, log_n, slots_of(log_n, ring), most=most)
    except KakuriError as error:
        if error.problem.code != "KK-E14" or (log_n == wanted.log_ns[-1] and rival is None):
            raise
        return str(error.problem.what)
    prepared: dict[str, Prepared] = {}

    def write(builder: Builder, policy: Policy) -> tuple[int, ...]:
        return Emitter(builder, policy, typical, prepared).run(assignment).registers

    search = chains(write)
    best = search.best(wanted.tolerance)
    return _why(search) if best is None else _Found(assignment, prepared, best)


def _why(search: ChainSearch) -> str:
    levels, bits, error_bits = search.least()
    limit = _ckks.max_log_qp(search.log_n)
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
