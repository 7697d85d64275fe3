"""A network's levels and errors before any layout is known: what no layout can undercut.

Purpose: reject a ring in milliseconds instead of searching layouts for it.
Guarantees: fewer levels, and no more error, than a program of any layout: a linear layer costs its weights' scale and
rounding, nothing is masked, rotated or copied, and no key switch of a linear layer adds error.
Does not guarantee: that a ring which passes has room for masks and rotations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from kakuri.encrypted.build import Builder, Diagonals
from kakuri.encrypted.multiplexed.emit import typical_of
from kakuri.encrypted.multiplexed.polynomial import evaluate
from kakuri.encrypted.multiplexed.scales import Policy, settle
from kakuri.encrypted.multiplexed.stages import Graph
from kakuri.encrypted.network import Polynomial, Pool, Sum


@dataclass(frozen=True)
class Outline:
    """typical: value -> root mean square."""

    graph: Graph
    typical: Mapping[str, float]

    @cached_property
    def norms(self) -> dict[str, float]:
        """Linear layer -> root mean square of its rows' norms."""
        squares = {name: (linear.weight**2).sum(axis=(1, 2)) for name, linear in self.graph.linears.items()}
        return {name: math.sqrt(float(rows.mean())) for name, rows in squares.items()}

    def write(self, builder: Builder, policy: Policy) -> tuple[int, ...]:
        """The answer's register; every value is one."""
        graph = self.graph
        registers = {graph.input_name: builder.input()}
        gains = {graph.input_name: 1.0}
        for stage in graph.stages:
            sources = graph.sources[stage.name]
            register, gain = registers[sources[0]], gains[sources[0]]
            magnitude = typical_of(self.typical, sources[0]) / abs(gain)
            if isinstance(stage, Polynomial):
                coefficients = [c * gain**k for k, c in enumerate(stage.coefficients)]
                registers[stage.output], gains[stage.output] = evaluate(
                    builder, policy, register, coefficients, magnitude
                )
            elif isinstance(stage, Sum):
                ratios = [gains[name] / gain for name in sources]
                total = builder.add_scaled([registers[name] for name in sources], ratios, magnitude)
                registers[stage.output], gains[stage.output] = settle(builder, total, policy), gain
            elif isinstance(stage, Pool):
                registers[stage.output], gains[stage.output] = register, gain / stage.divisor
            else:
                bits = policy.answer_bits if stage.output == graph.output else policy.weight_bits
                diagonals = _least(abs(gain) * self.norms[stage.name])
                (product,) = builder.linear_transform([register], diagonals, math.exp2(bits), magnitude)
                registers[stage.output], gains[stage.output] = settle(builder, product, policy), 1.0
        answer = registers[graph.output]
        magnitude = typical_of(self.typical, graph.output)
        if gains[graph.output] != 1.0:
            scale = builder.registers[answer].scale * math.exp2(policy.weight_bits)
            answer = builder.multiply_scalar(answer, gains[graph.output], magnitude, scale)
        return (answer,)


def _least(norm: float) -> Diagonals:
    """One diagonal that needs no rotation. norm: of the layer's rows, with the input's gain."""
    return Diagonals((), frozenset(), (norm,), (1,), (0.0,), (1,))
