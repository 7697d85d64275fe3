"""From network to ciphertext program.

Purpose: walks the layers of any acyclic network in order and lets a packing emit each one.
Guarantees: levels are found by compiling once on an endless chain, so depth and the use of every level are facts of
the very program that runs, not a second formula.
Does not guarantee: fitting in a ring; ``plan`` searches for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kakuri.encrypted.build import Builder, ChainLike, ProbeChain
from kakuri.encrypted.network import Convolution, Dense, Flatten, Layer, Network, Polynomial, Pool, Sum
from kakuri.encrypted.noise import NoiseModel
from kakuri.encrypted.packings.packing import Packing
from kakuri.encrypted.program import Program
from kakuri.encrypted.schedule import depth_first
from kakuri.encrypted.wire import WireLayout

DEFAULT_MAGNITUDE = 8.0


@dataclass(frozen=True)
class Compiled:
    """error: standard deviation expected in the answer, in message units."""

    program: Program
    input: WireLayout
    output: WireLayout
    output_level: int
    output_scale: float
    error: float


@dataclass(frozen=True)
class Probe:
    """depth: levels the program consumes. uses: level (1 = last) -> kinds of rescale that consume it."""

    depth: int
    uses: dict[int, set[str]]


def probe(network: Network, packing: Packing[Any], slots: int) -> Probe:
    """Depth and uses, from a compilation on an endless chain."""
    chain = ProbeChain(slots)
    builder, _, output = _emit(network, packing, chain, NoiseModel(2 * slots), {})
    bottom = min(builder.level(r) for r in packing.registers(output))
    return Probe(chain.top_level - bottom, {level - bottom: kinds for level, kinds in builder.uses.items()})


def compile_network(
    network: Network,
    packing: Packing[Any],
    chain: ChainLike,
    noise: NoiseModel,
    typical: Mapping[str, float],
    *,
    drop_unneeded: bool = True,
) -> Compiled:
    """typical: value name -> root mean square, from calibration; missing values count as ``DEFAULT_MAGNITUDE``."""
    builder, start, output = _emit(network, packing, chain, noise, typical)
    registers = packing.registers(output)
    level = min(builder.level(r) for r in registers)
    registers = [builder.drop_to(r, level) for r in registers]
    program = builder.finish(registers)
    return Compiled(
        program=depth_first(program, drop_unneeded=drop_unneeded) if packing.depth_first() else program,
        input=packing.wire(start),
        output=packing.wire(output),
        output_level=level,
        output_scale=builder.registers[registers[0]].scale,
        error=max(builder.registers[r].error for r in registers),
    )


def _emit(
    network: Network, packing: Packing[Any], chain: ChainLike, noise: NoiseModel, typical: Mapping[str, float]
) -> tuple[Builder, Any, Any]:
    builder = Builder(chain, noise)
    layouts: dict[str, Any] = {network.input_name: packing.begin(builder, network)}
    for layer in network.layers:
        builder.begin_layer(layer.name)
        xs = [layouts[name] for name in layer.inputs]
        magnitude = max(typical.get(name, DEFAULT_MAGNITUDE) for name in layer.inputs)
        layouts[layer.output] = _EMIT[type(layer)](packing, builder, xs, layer, magnitude)
    return builder, layouts[network.input_name], layouts[network.output_name]


_Emitter = Callable[[Packing[Any], Builder, list[Any], Any, float], Any]
_EMIT: dict[type[Layer], _Emitter] = {
    Convolution: lambda p, b, xs, layer, m: p.convolution(b, xs[0], layer, m),
    Dense: lambda p, b, xs, layer, m: p.dense(b, xs[0], layer, m),
    Pool: lambda p, b, xs, layer, m: p.pool(b, xs[0], layer, m),
    Polynomial: lambda p, b, xs, layer, m: p.polynomial(b, xs[0], layer, m),
    Sum: lambda p, b, xs, layer, m: p.add(b, xs, m),
    Flatten: lambda p, b, xs, layer, m: p.flatten(xs[0]),
}
