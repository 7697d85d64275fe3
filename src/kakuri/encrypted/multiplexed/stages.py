"""The network as stages on (channels, positions) tensors.

Purpose: typed layers become stages that layouts are chosen for; flattening disappears, pools in front of a dense
layer are merged into its weights (both are linear).
Guarantees: the same function; stages in topological order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from kakuri.encrypted.multiplexed.linear import Linear, after_pool, linear_of
from kakuri.encrypted.network import Convolution, Dense, Flatten, Layer, Network, Polynomial, Pool, Sum

Stage = Convolution | Dense | Pool | Polynomial | Sum


@dataclass(frozen=True)
class Shape:
    channels: int
    grid: tuple[int, int]


@dataclass(frozen=True)
class Graph:
    """shapes: value -> shape. linears: layer name -> matrix of a convolution, dense layer or pool. readers: value ->
    stages that read it. output: value name."""

    input_name: str
    output: str
    stages: tuple[Stage, ...]
    sources: dict[str, tuple[str, ...]]
    shapes: dict[str, Shape]
    linears: dict[str, Linear]
    readers: dict[str, tuple[Stage, ...]]

    def following(self, value: str) -> Stage | None:
        """The only stage that reads ``value``, if there is exactly one."""
        readers = self.readers.get(value, ())
        return readers[0] if len(readers) == 1 and value != self.output else None

    @cached_property
    def depth_below(self) -> dict[str, int]:
        """Stage -> squarings on the way from it, itself included, to the output: a guess at the levels left."""
        depth: dict[str, int] = {}
        for stage in reversed(self.stages):
            below = max((depth[r.name] for r in self.readers.get(stage.output, ())), default=0)
            own = (len(stage.coefficients) - 2).bit_length() if isinstance(stage, Polynomial) else 0
            depth[stage.name] = below + own
        return depth


def stages_of(network: Network) -> Graph:
    """See the module head."""
    alias: dict[str, str] = {}
    shapes = {network.input_name: _shape(network.input_shape)}
    uses = Counter(name for layer in network.layers for name in layer.inputs)
    uses[network.output_name] += 1
    makers: dict[str, Layer] = {layer.output: layer for layer in network.layers}
    stages: list[Stage] = []
    sources: dict[str, tuple[str, ...]] = {}
    linears: dict[str, Linear] = {}
    for layer in network.layers:
        inputs = tuple(alias.get(name, name) for name in layer.inputs)
        if isinstance(layer, Flatten):
            alias[layer.output] = inputs[0]
            continue
        assert isinstance(layer, Convolution | Dense | Pool | Polynomial | Sum)
        shape = shapes[inputs[0]]
        if isinstance(layer, Convolution | Dense | Pool):
            linear = linear_of(layer, shape.channels, shape.grid)
            if isinstance(layer, Dense):
                above = _pools_above(layer, makers, uses)
                for pool in above:
                    source = shapes[sources[pool.name][0]]
                    linear = after_pool(linear, pool, source.channels, source.grid)
                    inputs = sources[pool.name]
                stages = [stage for stage in stages if stage not in above]
            linears[layer.name] = linear
            shapes[layer.output] = Shape(len(linear.weight), linear.grid)
        else:
            shapes[layer.output] = shape
        sources[layer.name] = inputs
        stages.append(layer)
    readers: dict[str, tuple[Stage, ...]] = {}
    for stage in stages:
        for name in sources[stage.name]:
            readers[name] = (*readers.get(name, ()), stage)
    output = alias.get(network.output_name, network.output_name)
    return Graph(network.input_name, output, tuple(stages), sources, shapes, linears, readers)


def _pools_above(dense: Dense, makers: dict[str, Layer], uses: Counter[str]) -> list[Pool]:
    """Pools between ``dense`` and the layer before, nearest first, that nobody else reads."""
    found: list[Pool] = []
    name = dense.inputs[0]
    while uses[name] == 1 and isinstance(maker := makers.get(name), Pool | Flatten):
        if isinstance(maker, Pool):
            found.append(maker)
        name = maker.inputs[0]
    return found


def _shape(shape: tuple[int, ...]) -> Shape:
    return Shape(shape[0], (1, 1)) if len(shape) == 1 else Shape(shape[0], (shape[1], shape[2]))
