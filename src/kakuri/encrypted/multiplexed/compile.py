"""Multiplexed compilation: search, choose, and compile again from what was chosen.

Purpose: ``design`` finds layouts and scales for one ring; ``compile_multiplexed`` turns a stored design into a program.
Guarantees: a design, the network and the chain determine the program; prices and calibration do not enter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kakuri.encrypted.build import Builder, ChainLike
from kakuri.encrypted.chain import Chain
from kakuri.encrypted.compile import Compiled
from kakuri.encrypted.fuse import fuse_rescales
from kakuri.encrypted.multiplexed.emit import Emitter, Prepared
from kakuri.encrypted.multiplexed.prices import Prices
from kakuri.encrypted.multiplexed.scales import Policy
from kakuri.encrypted.multiplexed.search import search
from kakuri.encrypted.multiplexed.stages import Graph, stages_of
from kakuri.encrypted.multiplexed.steps import Assignment, Gather
from kakuri.encrypted.network import Network
from kakuri.encrypted.noise import NoiseModel
from kakuri.encrypted.wire import WireLayout

MULTIPLEXED = "multiplexed"
MAX_QUERY_BYTES = 4 << 20
MAX_QUERY_CIPHERTEXTS = 64


@dataclass(frozen=True)
class Design:
    """What, with network and chain, reproduces a program. choices: layer -> candidate layout."""

    choices: dict[str, str]
    policy: Policy

    def to_dict(self) -> dict[str, Any]:
        p = self.policy
        bits = [p.fresh_bits, p.message_bits, p.weight_bits, p.answer_bits, p.mask_bits, *p.limb_bits]
        return {"choices": self.choices, "scale_bits": bits}

    @classmethod
    def from_dict(cls, data: Any) -> Design:
        """Raises ValueError, TypeError or KeyError for anything else."""
        fresh, message, weight, answer, mask, least, most = (float(x) for x in data["scale_bits"])
        if not all(0.0 < x < 64.0 for x in (fresh, message, weight, answer, mask, least, most)):
            raise ValueError("scale_bits")
        choices = {str(k): str(v) for k, v in dict(data["choices"]).items()}
        return cls(choices, Policy(fresh, message, weight, answer, mask, (int(least), int(most))))


def lay_out(
    graph: Graph, log_n: int, slots: int, choices: Mapping[str, str] | None = None, most: Sequence[float] = ()
) -> Assignment:
    """Layouts for one ring: searched, or as chosen before. most: see ``search``."""
    limb_bytes = (1 << log_n) * 6
    ciphertexts = max(1, min(MAX_QUERY_CIPHERTEXTS, MAX_QUERY_BYTES // (limb_bytes * (4 if log_n < 14 else 6))))
    prices = Prices(1 << log_n, 1 if log_n < 14 else 2)
    return search(graph, slots, prices, max_query_ciphertexts=ciphertexts, choices=choices, most=most)


def compile_multiplexed(
    network: Network,
    chain: Chain,
    noise: NoiseModel,
    typical: Mapping[str, float],
    design: Design,
) -> Compiled:
    """The program of a stored design. typical: root mean square of every value, for the error estimate."""
    assignment = lay_out(stages_of(network), chain.log_n, chain.slots, design.choices)
    return compile_assignment(network, chain, noise, typical, policy=design.policy, assignment=assignment, prepared={})


def compile_assignment(
    network: Network,
    chain: ChainLike,
    noise: NoiseModel,
    typical: Mapping[str, float],
    *,
    policy: Policy,
    assignment: Assignment,
    prepared: dict[str, Prepared],
) -> Compiled:
    """The program of layouts that are known. prepared: see ``Emitter``."""
    builder = Builder(chain, noise)
    answer = Emitter(builder, policy, typical, prepared).run(assignment)
    level = min(builder.level(r) for r in answer.registers)
    registers = [builder.drop_to(r, level) for r in answer.registers]
    gather = next(step for step in assignment.steps if isinstance(step, Gather))
    return Compiled(
        program=fuse_rescales(builder.finish(registers)),
        input=_query(gather, network),
        output=_answer(assignment, network),
        output_level=level,
        output_scale=builder.registers[registers[0]].scale,
        error=max(builder.registers[r].error for r in registers),
    )


def _query(gather: Gather, network: Network) -> WireLayout:
    layout = gather.placed.layout
    ct, slot, element = layout.table()
    if gather.linear is not None:
        positions = layout.positions
        virtual, position = element // positions, element % positions
        channel, tap = np.divmod(virtual, len(gather.linear.taps))
        pixel = gather.linear.taps[tap, position]
        size = math.prod(gather.linear.input_grid)
        element = np.where(pixel >= 0, channel * size + pixel, -1)
    real = element >= 0
    return WireLayout(network.input_shape, layout.ciphertexts, ct[real], slot[real], element[real], batched=False)


def _answer(assignment: Assignment, network: Network) -> WireLayout:
    layout = assignment.placed(assignment.output).layout
    ct, slot, element = layout.table()
    first = np.unique(element, return_index=True)[1]
    return WireLayout(network.output_shape, layout.ciphertexts, ct[first], slot[first], element[first], batched=False)
