"""The layout search: a beam over the stages, keeping the cheapest state of every distinct set of layouts.

Purpose: from a network and the number of slots to an assignment of layouts; or, from stored choices, the same again.
Guarantees: deterministic; with ``choices`` no search happens and nothing depends on prices but the split of steps.
Does not guarantee: the optimum; a state that is dear now and cheap later can fall out of the beam.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kakuri.encrypted.multiplexed.moves import Moves
from kakuri.encrypted.multiplexed.prices import Prices
from kakuri.encrypted.multiplexed.stages import Graph
from kakuri.encrypted.multiplexed.steps import Assignment, Gather, Placed, Step
from kakuri.errors import KakuriError

BEAM = 6


@dataclass(frozen=True)
class _State:
    placed: dict[str, Placed]
    steps: tuple[Step, ...]
    choices: dict[str, str]
    prices: tuple[float, ...]

    @property
    def price(self) -> float:
        return self.prices[-1] if self.prices else 0.0

    def live(self, values: set[str]) -> bytes:
        """Names the layouts that later stages can see."""
        return b"".join(self.placed[v].layout.key for v in sorted(values & self.placed.keys()))


def search(
    graph: Graph,
    slots: int,
    prices: Prices,
    *,
    max_query_ciphertexts: int,
    choices: Mapping[str, str] | None = None,
    most: Sequence[float] = (),
) -> Assignment:
    """most: of the price up to the end of every stage. Raises KK-E14 when no candidate layout fits some stage, or none
    within ``most``."""
    moves = Moves(graph, slots, prices)
    beam = [_State({}, (), {}, ())]
    for i, stage in enumerate(graph.stages):
        needed = {name for later in graph.stages[i + 1 :] for name in graph.sources[later.name]} | {graph.output}
        best: dict[bytes, _State] = {}
        limit = most[i] if most else math.inf
        for state in beam:
            for move in moves.of(stage, state.placed, only=None if choices is None else choices.get(stage.name, "")):
                if move.query_ciphertexts > max_query_ciphertexts or state.price + move.price > limit:
                    continue
                placed = dict(state.placed)
                for step in move.steps:
                    if isinstance(step, Gather) and step.linear is not None:
                        continue
                    placed[step.value] = step.placed
                grown = _State(
                    placed,
                    (*state.steps, *move.steps),
                    {**state.choices, stage.name: move.name},
                    (*state.prices, state.price + move.price),
                )
                key = grown.live(needed)
                if key not in best or grown.price < best[key].price:
                    best[key] = grown
        if not best:
            raise KakuriError(
                "KK-E14",
                "no layout of the multiplexed packing fits this layer",
                where=stage.name,
                got=f"{graph.shapes[stage.output].channels} channels of {graph.shapes[stage.output].grid}",
                limit=f"{slots} slots",
                hint="use packing='channel' or a larger ring",
            )
        beam = sorted(best.values(), key=lambda s: s.price)[:BEAM]
    winner = beam[0]
    return Assignment(winner.steps, winner.choices, winner.prices, graph.output)
