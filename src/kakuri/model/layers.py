"""Layers: the numbers by which people cut a network.

Purpose: one list for every model. A Darknet network keeps Darknet's own count, in which dropout and cost are layers
    and an activation belongs to its layer; in any other model every node is a layer, in graph order.
Guarantees: numbers start at 0, have no gap and never fall along the graph's order; a pass that replaces a node but
    keeps its name keeps its layer.
Does not guarantee: numbers that survive passes which remove or add nodes, in a model without marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

_KEY = "kakuri.layers"
_NAME = re.compile(r"layer([0-9]{1,6})\..+")


@dataclass(frozen=True)
class Layer:
    """kind: Darknet's section or the ONNX operator. nodes: may be empty, where a layer does nothing at inference."""

    index: int
    kind: str
    nodes: tuple[ir.Node, ...]

    @property
    def name(self) -> str:
        return self.nodes[0].name or "" if self.nodes else ""


def mark_layers(net: ir.Model, kinds: Sequence[str]) -> None:
    """Note, in place, that nodes are called ``layer<number>.<anything>`` and what the layers are."""
    net.metadata_props[_KEY] = json.dumps(list(kinds))


def layers(net: ir.Model) -> tuple[Layer, ...]:
    """Every layer of ``net`` (from ``load``), in order."""
    kinds = _kinds(net)
    nodes = list(net.graph)
    if kinds is None:
        return tuple(Layer(index, node.op_type, (node,)) for index, node in enumerate(nodes))
    members: list[list[ir.Node]] = [[] for _ in kinds]
    for node in nodes:
        members[_number(node)].append(node)
    return tuple(Layer(index, kind, tuple(members[index])) for index, kind in enumerate(kinds))


def _kinds(net: ir.Model) -> list[str] | None:
    """The marks, or None where there are none or where they no longer fit the nodes."""
    try:
        kinds = json.loads(net.metadata_props.get(_KEY, "null"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        return None
    numbers = [_number(node) for node in net.graph]
    fits = numbers == sorted(numbers) and all(0 <= number < len(kinds) for number in numbers)
    return kinds if fits else None


def _number(node: ir.Node) -> int:
    match = _NAME.fullmatch(node.name or "")
    return int(match[1]) if match is not None else -1
