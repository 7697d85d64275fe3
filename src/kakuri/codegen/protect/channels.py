"""Which channels of a network may change places, and be scaled, together.

Purpose: ``analyse(net)`` gives every value's second axis as runs of channels of groups, and the parameters that each
group's choice reaches.
Requires: a prepared graph (static shapes, linear layers in one spelling).
Guarantees: giving every group that is not pinned an order (and, where it is scalable, a positive factor per channel),
and every listed parameter the same along the listed axis, leaves what the graph computes the same but for rounding.
An operator that is not listed here pins the channels that it touches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from kakuri.model.graph import constant, input_of, integer, ints, is_exclusive, is_op, required_input, static_shape

_MOVING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_POOLS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})
_HOMOGENEOUS = _MOVING | _POOLS | {"Relu", "LeakyRelu", "Identity", "ReduceMean", "ReduceSum", "ReduceMax", "Resize"}
_ELEMENTWISE = frozenset(
    {"Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Exp", "Abs", "Neg", "Sqrt", "Softplus", "Erf"}
    | {"Gelu", "Pad", "Selu", "Celu", "Log", "QuantizeLinear", "DequantizeLinear"}
)


@dataclass(frozen=True)
class Run:
    """All channels of a group, one after the other; each is ``block`` neighbours of the axis."""

    group: int
    channels: int
    block: int = 1


Runs = tuple[Run, ...]


@dataclass(frozen=True)
class Use:
    """A parameter that follows the channels ``runs``. power: of the group's factor that it is multiplied by."""

    node: ir.Node
    index: int
    axis: int
    runs: Runs
    power: int = 0


@dataclass
class Channels:
    """What ``analyse`` found."""

    axes: dict[ir.Value, Runs] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    _parent: list[int] = field(default_factory=list)
    _pinned: set[int] = field(default_factory=set)
    _unscalable: set[int] = field(default_factory=set)

    def root(self, group: int) -> int:
        while self._parent[group] != group:
            group = self._parent[group]
        return group

    def is_pinned(self, group: int) -> bool:
        return self.root(group) in self._pinned

    def is_scalable(self, group: int) -> bool:
        return self.root(group) not in self._unscalable | self._pinned

    def fresh(self, channels: int) -> Runs:
        self._parent.append(len(self._parent))
        self.sizes.append(channels)
        return (Run(len(self._parent) - 1, channels),)

    def pin(self, runs: Runs) -> None:
        self._pinned |= {self.root(run.group) for run in runs}

    def no_scales(self, runs: Runs) -> None:
        self._unscalable |= {self.root(run.group) for run in runs}

    def use(self, node: ir.Node, index: int, axis: int, runs: Runs, power: int = 0) -> None:
        """Note a parameter; levels of integers cannot be scaled."""
        stored = constant(node.inputs[index])
        if stored is None or stored.dtype != np.float32:
            self.no_scales(runs)
        self.uses.append(Use(node, index, axis, runs, power))

    def join(self, one: Runs, other: Runs) -> None:
        """Both get the same order and factors; pinned where that makes no sense."""
        if [(r.channels, r.block) for r in one] != [(r.channels, r.block) for r in other]:
            self.pin(one + other)
            return
        for a, b in zip(one, other, strict=True):
            first, second = self.root(a.group), self.root(b.group)
            self._parent[second] = first
            for marked in (self._pinned, self._unscalable):
                if second in marked:
                    marked.add(first)


def analyse(net: ir.Model) -> Channels:
    found = Channels()
    for value in net.graph.inputs:
        _unknown(found, value)
    for node in net.graph:
        if not _is_parameter_chain(node):
            _RULES.get(node.op_type if node.domain == "" else "", _other)(found, node)
    for value in net.graph.outputs:
        if value in found.axes:
            found.pin(found.axes[value])
    return found


def parameter(node: ir.Node, index: int) -> tuple[int, ...] | None:
    """The shape of a constant, plain or dequantized for ``node`` alone; None for anything else."""
    value = input_of(node, index)
    stored = constant(value)
    if stored is None and value is not None and is_exclusive(value):
        producer = value.producer()
        if producer is not None and _is_parameter_chain(producer):
            stored = constant(producer.inputs[0])
    return None if stored is None else stored.shape


def _is_parameter_chain(node: ir.Node) -> bool:
    return is_op(node, "DequantizeLinear") and all(
        value is None or constant(value) is not None for value in node.inputs
    )


def _unknown(found: Channels, value: ir.Value) -> None:
    shape = value.shape
    if shape is not None and len(shape) > 1:
        found.axes[value] = found.fresh(static_shape(value)[1])
        found.pin(found.axes[value])


def _other(found: Channels, node: ir.Node) -> None:
    for value in node.inputs:
        if value is not None and value in found.axes:
            found.pin(found.axes[value])
    for value in node.outputs:
        _unknown(found, value)


def _same(found: Channels, node: ir.Node) -> None:
    """One computed input; what comes out has its channels where they were, or flattened."""
    source, target = required_input(node), node.outputs[0]
    before, after = static_shape(source), static_shape(target)
    steps = parameter(node, 1) if node.op_type in {"QuantizeLinear", "DequantizeLinear"} else ()
    stepped = steps is None or math.prod(steps) != 1
    if source not in found.axes or len(after) < 2 or before[0] != after[0] or len(node.outputs) > 1 or stepped:
        _other(found, node)
    elif before[1] == after[1] and (node.op_type not in _MOVING or math.prod(before) == math.prod(after)):
        found.axes[target] = found.axes[source]
    elif node.op_type in _MOVING and len(after) == 2:
        inner = math.prod(before[2:])
        found.axes[target] = tuple(Run(r.group, r.channels, r.block * inner) for r in found.axes[source])
    else:
        _other(found, node)
    if node.op_type not in _HOMOGENEOUS and source in found.axes:
        found.no_scales(found.axes[source])


def _conv(found: Channels, node: ir.Node) -> None:
    source, target = required_input(node), node.outputs[0]
    weight, group = parameter(node, 1), integer(node, "group", 1)
    fixed = input_of(node, 2) is not None and parameter(node, 2) is None
    if source not in found.axes or weight is None or fixed:
        _other(found, node)
        return
    runs = found.axes[source]
    if group == 1:
        found.use(node, 1, 1, runs, -1)
        out, power = found.fresh(weight[0]), 1
    elif group == weight[0] == static_shape(source)[1]:
        out, power = runs, 0
    else:
        _other(found, node)
        return
    found.axes[target] = out
    found.use(node, 1, 0, out, power)
    if input_of(node, 2) is not None:
        found.use(node, 2, 0, out, 1)


def _product(found: Channels, node: ir.Node) -> None:
    """Gemm and MatMul of rows with a constant matrix."""
    source, target = required_input(node), node.outputs[0]
    weight, bias = parameter(node, 1), parameter(node, 2)
    computed = input_of(node, 2) is not None and (bias is None or math.prod(bias) != bias[-1])
    plain = not integer(node, "transA", 0) and len(static_shape(source)) == 2
    if source not in found.axes or weight is None or len(weight) != 2 or computed or not plain:
        _other(found, node)
        return
    rows = 1 if integer(node, "transB", 0) else 0
    out = found.fresh(weight[1 - rows])
    found.axes[target] = out
    found.use(node, 1, rows, found.axes[source], -1)
    found.use(node, 1, 1 - rows, out, 1)
    if bias is not None and bias[-1] == weight[1 - rows]:
        found.use(node, 2, len(bias) - 1, out, 1)
    elif bias is not None:
        found.pin(out)


def _pair(found: Channels, node: ir.Node) -> None:
    """Add, Sub, Mul, Div, Max, Min of two."""
    target = node.outputs[0]
    computed = [value for value in node.inputs if value is not None and value in found.axes]
    shape = static_shape(target)
    if len(node.inputs) != 2 or not computed or any(len(static_shape(v)) != len(shape) for v in computed):
        _other(found, node)
        return
    full = [value for value in computed if static_shape(value)[1] == shape[1]]
    if not full:
        _other(found, node)
        return
    for value in computed:
        if value not in full:
            found.pin(found.axes[value])
    found.axes[target] = found.axes[full[0]]
    if len(full) == 2:
        found.join(found.axes[full[0]], found.axes[full[1]])
    if len(computed) == 1:
        _constant_operand(found, node, computed[0])
    elif node.op_type not in {"Add", "Sub"}:
        found.no_scales(found.axes[target])
    if len(computed) == 2 and len(full) == 1:
        found.no_scales(found.axes[target])


def _constant_operand(found: Channels, node: ir.Node, computed: ir.Value) -> None:
    index = 1 if node.inputs[0] is computed else 0
    shape, rank = parameter(node, index), len(static_shape(node.outputs[0]))
    runs = found.axes[node.outputs[0]]
    if node.op_type != "Mul":
        found.no_scales(runs)
    if shape is None or len(shape) > rank:
        found.pin(runs)
        return
    axis = 1 - (rank - len(shape))
    if axis >= 0 and shape[axis] != 1:
        found.use(node, index, axis, runs)


def _concat(found: Channels, node: ir.Node) -> None:
    rank = len(static_shape(node.outputs[0]))
    if integer(node, "axis", 0) % rank != 1 or any(value not in found.axes for value in node.inputs):
        _other(found, node)
        return
    found.axes[node.outputs[0]] = tuple(run for value in node.inputs if value is not None for run in found.axes[value])


def _slope(found: Channels, node: ir.Node) -> None:
    """PRelu with a constant slope."""
    found.axes[node.outputs[0]] = found.axes.get(required_input(node), ())
    if not found.axes[node.outputs[0]]:
        _other(found, node)
        return
    _constant_operand(found, node, required_input(node))


def _spatial(found: Channels, node: ir.Node) -> None:
    """Reductions over rows and columns."""
    rank = len(static_shape(required_input(node)))
    given = constant(input_of(node, 1))
    axes = ints(node, "axes") if given is None else tuple(int(axis) for axis in given.reshape(-1))
    inner = bool(axes) and all(axis % rank > 1 for axis in axes)
    (_same if inner else _other)(found, node)


_RULES: dict[str, Callable[[Channels, ir.Node], None]] = {
    **dict.fromkeys(_HOMOGENEOUS | _ELEMENTWISE, _same),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax"), _spatial),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min"), _pair),
    **dict.fromkeys(("Gemm", "MatMul"), _product),
    "Conv": _conv,
    "Concat": _concat,
    "PRelu": _slope,
}
