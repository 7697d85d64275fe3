"""Small tools to read and rewrite an ``onnx_ir`` graph.

Purpose: what every pass needs: constants as arrays, static shapes, fresh names, replacing and removing nodes.
Guarantees: names made here are unique in the graph; replacing a graph output keeps the output's name.
Does not guarantee: anything about subgraphs; models in the normal form of ``kakuri.model.load`` have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError

Array = NDArray[np.generic]

#: The domain of Kakuri's own operators; ``passes.expand_polynomial`` turns them into standard ones.
CUSTOM_DOMAIN = "kakuri"
POLYNOMIAL = "Polynomial"
SUM_POOL = "SumPool"

#: From here on the number after a shared name is remembered, not searched for.
_MANY = 64

AttributeValue = int | float | str | Sequence[int] | Sequence[float] | Sequence[str] | ir.Attr


def is_op(node: ir.Node | None, *op_types: str, domain: str = "") -> bool:
    """Whether ``node`` is one of ``op_types`` of ``domain``."""
    return node is not None and node.domain == domain and node.op_type in op_types


def constant(value: ir.Value | None) -> Array | None:
    """The array of an initializer (read only), or None for anything computed."""
    if value is None or value.const_value is None or not value.is_initializer():
        return None
    return np.asarray(value.const_value.numpy())


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """Input ``index`` of ``node``; None when it is absent or left empty."""
    return node.inputs[index] if index < len(node.inputs) else None


def required_input(node: ir.Node, index: int = 0) -> ir.Value:
    """Input ``index`` of ``node``. Raises KK-M08 when it is missing."""
    value = input_of(node, index)
    if value is None:
        raise KakuriError("KK-M08", f"input {index} of {node.op_type} is missing", where=node.name)
    return value


def static_shape(value: ir.Value) -> tuple[int, ...]:
    """The shape of ``value``. Raises KK-M07 when it is unknown or symbolic."""
    if value.shape is None or not all(isinstance(dim, int) for dim in value.shape):
        raise KakuriError(
            "KK-M07",
            "this tensor has no static shape",
            where=value.name,
            got=value.shape,
            hint="use a model returned by kakuri.model.load",
        )
    return tuple(int(dim) for dim in value.shape)  # type: ignore[arg-type]


def is_exclusive(value: ir.Value) -> bool:
    """Whether exactly one node input reads ``value`` and it is not an output of the graph."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def ints(node: ir.Node, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
    """A list attribute, or ``default``."""
    attribute = node.attributes.get(name)
    return tuple(default) if attribute is None else tuple(int(item) for item in attribute.as_ints())


def integer(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or ``default``."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def real(node: ir.Node, name: str, default: float) -> float:
    """A float attribute, or ``default``."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_float()


def text(node: ir.Node, name: str, default: str) -> str:
    """A string attribute, or ``default``."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()


def value_names(graph: ir.Graph) -> set[str]:
    """Every value name of the graph."""
    names = {value.name for value in graph.inputs} | set(graph.initializers)
    names.update(output.name for node in graph for output in node.outputs)
    return {name for name in names if name}


def fresh_name(taken: set[str], base: str) -> str:
    """``base``, or ``base_2``, ``base_3`` ..., not in ``taken``; it is added to ``taken``."""
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name


class Editor:
    """Rewrites one graph in place; a pass makes one for the copy that it returns."""

    def __init__(self, net: ir.Model) -> None:
        self.graph = net.graph
        self._values = value_names(net.graph)
        self._nodes = {node.name for node in net.graph if node.name}
        self._numbers: dict[tuple[bool, str], int] = {}
        self._renewed: dict[ir.Value, ir.Value] = {}
        #: Every node made by ``node``, oldest first.
        self.inserted: list[ir.Node] = []

    def constant(self, base: str, array: Array) -> ir.Value:
        """A new initializer holding ``array``."""
        name = self._fresh(base)
        tensor = ir.Tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def node(
        self,
        before: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        name: str,
        shape: Sequence[int],
        dtype: ir.DataType | None,
        domain: str = "",
        output: str | None = None,
    ) -> ir.Value:
        """Insert a one-output node before ``before`` and return its output."""
        value = ir.Value(
            name=fresh_name(self._values, output or name),
            shape=ir.Shape(shape),
            type=None if dtype is None else ir.TensorType(dtype),
        )
        node = ir.node(
            op_type,
            list(inputs),
            dict(attributes or {}),
            domain=domain,
            outputs=[value],
            name=fresh_name(self._nodes, name),
        )
        self.graph.insert_before(before, node)
        self.inserted.append(node)
        return value

    def _fresh(self, base: str, *, node: bool = False) -> str:
        """A name from ``base`` that no value (or no node) has; quick where very many share a base."""
        taken, key = self._nodes if node else self._values, (node, base)
        name, number = base, 2
        while name in taken:
            number = max(number, self._numbers.get(key, number)) if number == _MANY else number
            name, number = f"{base}_{number}", number + 1
        if number > _MANY:
            self._numbers[key] = number
        taken.add(name)
        return name

    def append(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, AttributeValue],
        *,
        name: str,
        outputs: Sequence[str],
    ) -> ir.Node:
        """A new standard node at the graph's end, its outputs without shapes."""
        values = [ir.Value(name=self._fresh(output)) for output in outputs]
        node = ir.node(op_type, list(inputs), dict(attributes), outputs=values, name=self._fresh(name, node=True))
        self.graph.append(node)
        return node

    def reserve(self, name: str) -> str:
        """``name`` or a number after it, kept from everything that the editor makes."""
        return self._fresh(name)

    def substitute(self, node: ir.Node, value: ir.Value, *, keep_name: bool = True) -> None:
        """Let ``value`` stand for the first output of ``node`` everywhere, and remove ``node``.

        With ``keep_name`` the producer of ``value`` takes over the node's name and ``value`` the output's name.
        """
        old = node.outputs[0]
        node_name, old_name = node.name, old.name
        self._renewed[old] = value
        old.replace_all_uses_with(value, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)
        producer = value.producer()
        if keep_name and producer is not None:
            if producer.name:
                self._nodes.discard(producer.name)
            if value.name:
                self._values.discard(value.name)
            producer.name, value.name = node_name, old_name

    def current(self, value: ir.Value) -> ir.Value:
        """What stands for ``value`` now, after substitutions; for values noted before them."""
        while value in self._renewed:
            value = self._renewed[value]
        return value

    def bypass(self, node: ir.Node) -> bool:
        """Remove a node that passes its first input through; False when the graph's interface needs it."""
        source, target = required_input(node), node.outputs[0]
        if target.is_graph_output():
            if source.producer() is None or source.is_graph_output():
                return False
            name = target.name
            target.replace_all_uses_with(source, replace_graph_outputs=True)
            self.graph.remove(node, safe=True)
            source.name = name
            return True
        target.replace_all_uses_with(source)
        self.graph.remove(node, safe=True)
        return True

    def replace_constant(self, node: ir.Node, index: int, array: Array) -> None:
        """Give ``node`` a new constant at input ``index``; other readers of the old initializer keep the old one."""
        old = required_input(node, index)
        name = old.name or f"{node.name}.constant"
        node.replace_input_with(index, None)
        if old.is_initializer() and not old.uses() and not old.is_graph_output():
            del self.graph.initializers[name]
            self._values.discard(name)
        node.replace_input_with(index, self.constant(name, array))

    def scale_constant(self, node: ir.Node, index: int, factor: float) -> None:
        """Multiply the constant at input ``index`` by ``factor`` in float64, then round to its own dtype."""
        array = constant(required_input(node, index))
        if array is None:
            raise KakuriError("KK-M08", f"input {index} of {node.op_type} is not a constant", where=node.name)
        self.replace_constant(node, index, (array.astype(np.float64) * factor).astype(array.dtype))


def remove_unused(net: ir.Model) -> None:
    """Drop, in place, nodes whose results nothing reads and initializers that no node reads."""
    graph = net.graph
    for node in reversed(list(graph)):
        if not any(output.uses() or output.is_graph_output() for output in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
