"""A network cut by layer numbers into what runs outside and what runs inside a trusted environment.

Requires: the normal form of ``kakuri.model.load``.
Ensures: up to three networks that share the weights of the original: ``before`` and ``after`` for the normal world,
    ``inside`` for the trusted one. Every value that crosses is an output of the part that computes it and an input of
    each part that reads it, under its original name; graph inputs go to the part that reads them. Run in order, the
    parts compute what the whole computes.
Does not ensure: that the boundary reveals little; attacks on it measure that.
Errors: KK-M45 not a range of this network's layers, KK-M46 nothing to compute inside.
Source: S0, section 3.2: layers a to b, both included, in the TEE and the others in the REE.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass

import onnx_ir as ir

from kakuri.errors import KakuriError
from kakuri.model.graph import remove_unused
from kakuri.model.layers import layers as layers_of

_RANGE = re.compile(r"([0-9]{0,9}):([0-9]{0,9})")


@dataclass(frozen=True)
class Partition:
    """first, last: the layers inside, both included. ``before`` or ``after`` is None where it would be empty."""

    first: int
    last: int
    before: ir.Model | None
    inside: ir.Model
    after: ir.Model | None

    @property
    def entering(self) -> tuple[ir.Value, ...]:
        """What the normal world hands in: the inputs of ``inside``."""
        return tuple(self.inside.graph.inputs)

    @property
    def leaving(self) -> tuple[ir.Value, ...]:
        """What the normal world gets back: the outputs of ``inside``."""
        return tuple(self.inside.graph.outputs)


def partition(net: ir.Model, layers: str) -> Partition:
    """Cut ``net`` so that ``layers`` (``"5:10"``, both included; ``"5:"`` and ``":4"`` reach to the end) are inside."""
    numbered = layers_of(net)
    first, last = layer_range(layers, len(numbered))
    groups: list[set[str]] = [set(), set(), set()]
    for layer in numbered:
        groups[0 if layer.index < first else 1 if layer.index <= last else 2].update(n.name or "" for n in layer.nodes)
    if not groups[1]:
        kinds = ", ".join(layer.kind for layer in numbered[first : last + 1])
        raise KakuriError(
            "KK-M46", "these layers compute nothing at inference time", where=layers, got=kinds, hint="take more layers"
        )
    before, inside, after = (_part(net, names) if names else None for names in groups)
    assert inside is not None
    return Partition(first, last, before, inside, after)


def layer_range(text: str, count: int) -> tuple[int, int]:
    """The first and last layer that ``text`` names, of ``count``. Raises KK-M45."""
    match = _RANGE.fullmatch(text)
    if match is not None:
        first, last = int(match[1] or 0), int(match[2] or count - 1)
        if first <= last < count:
            return first, last
    raise KakuriError(
        "KK-M45", "not a range of layers", where="layers", got=ascii(text)[:40], limit=f"0:{count - 1}", hint='"5:10"'
    )


def _part(net: ir.Model, names: Set[str]) -> ir.Model:
    """A copy of ``net`` that holds only the nodes called ``names``."""
    part = net.clone()
    graph = part.graph
    nodes = [node for node in graph if node.name in names]
    chosen = set(nodes)
    inputs: dict[ir.Value, ir.Value] = {}
    for node in nodes:
        for index, value in enumerate(node.inputs):
            if value is None or value.is_initializer() or value.producer() in chosen:
                continue
            if value not in inputs:
                inputs[value] = ir.Value(name=value.name, shape=value.shape, type=value.type)
            node.replace_input_with(index, inputs[value])
    outputs = [value for node in nodes for value in node.outputs if value.is_graph_output() or _leaves(value, chosen)]
    order = {value.name: position for position, value in enumerate(graph.outputs)}
    outputs.sort(key=lambda value: order.get(value.name, len(order)))
    graph.outputs.clear()
    graph.outputs.extend(outputs)
    graph.inputs.clear()
    graph.inputs.extend(inputs.values())
    remove_unused(part)
    return part


def _leaves(value: ir.Value, chosen: Set[ir.Node]) -> bool:
    return any(user not in chosen for user in value.consumers())
