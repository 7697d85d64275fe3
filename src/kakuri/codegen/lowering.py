"""The state of lowering: what kernels read, make and append.

Purpose: memory for values, views of inputs in the form a kernel needs, what a kernel takes over from later nodes.
Guarantees: maps lie channels-last where a kernel touches them; a convolution's padding lies in memory around the map;
what is joined is written where it will lie; an elementwise result takes the place of an operand nobody reads again.
Does not guarantee: the least possible number of copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.codegen.ahead import VIEW_OPERATORS, Placement
from kakuri.codegen.clear import ClearHalo
from kakuri.codegen.copy import Copy
from kakuri.codegen.program import Operation
from kakuri.codegen.views import (
    ELEMENTS,
    NO_HALO,
    U8,
    Element,
    Halo,
    Kind,
    Shape,
    View,
    allocate,
    is_channels_last,
    memory_order,
)
from kakuri.codegen.weights import Weights
from kakuri.model.graph import constant, input_of, is_exclusive, is_op, required_input, static_shape

INFINITY = float("inf")


@dataclass(frozen=True)
class Tail:
    """What a linear layer also does before it writes: add ``residual``, clamp. output: the value it then computes."""

    output: ir.Value
    residual: View | None = None
    low: float = -INFINITY
    high: float = INFINITY


@dataclass
class Lowering:
    """The state of the walk. Kernels use the methods; ``env`` holds the view of every value computed so far."""

    net: ir.Model
    weights: Weights = field(default_factory=Weights)
    operations: list[Operation] = field(default_factory=list)
    env: dict[ir.Value, View] = field(default_factory=dict)
    halos: dict[ir.Value, Halo] = field(default_factory=dict)
    fills: dict[ir.Value, int] = field(default_factory=dict)
    placements: dict[ir.Value, Placement] = field(default_factory=dict)
    absorbed: set[ir.Node] = field(default_factory=set)
    _parents: dict[ir.Value, View] = field(default_factory=dict)

    def view(self, node: ir.Node, index: int = 0) -> View:
        """Input ``index`` as a view; constants go into the weights."""
        return self.value(required_input(node, index))

    def value(self, value: ir.Value) -> View:
        """A value as a view; constants go into the weights."""
        if value not in self.env:
            array = constant(value)
            assert array is not None, f"{value.name} is read before it is computed"
            self.env[value] = self.weights.add(_storable(array))
        return self.env[value]

    def constant(self, node: ir.Node, index: int) -> NDArray[Any] | None:
        return constant(input_of(node, index))

    def emit(self, operation: Operation) -> None:
        self.operations.append(operation)

    def new(self, value: ir.Value, order: Sequence[int] | None = None, element: Element | None = None) -> View:
        """Memory for ``value``; order: its axes from slowest to fastest, row-major without. Registers the view."""
        shape = static_shape(value)
        order = tuple(range(len(shape))) if order is None else tuple(order)
        placed = self._placed(value, order)
        if placed is None:
            element = element or element_of(value)
            halo = self.halos.get(value, NO_HALO)
            if halo != NO_HALO and significant(order, shape) != significant(last_order(len(shape)), shape):
                halo = NO_HALO  # its readers copy it anyway
            direct = value.is_graph_output() and halo == NO_HALO and tuple(order) == tuple(range(len(shape)))
            direct = direct and element.name == _type_name(value)
            if direct:
                index = self.net.graph.outputs.index(value)
                placed = allocate(Kind.OUTPUT, element, shape, order)
                placed.storage.index = index
            else:
                placed = self.scratch(shape, order, element, halo, self.fills.get(value, 0))
        self.env[value] = placed
        return placed

    def scratch(
        self,
        shape: Shape,
        order: Sequence[int],
        element: Element = ELEMENTS["float32"],
        halo: Halo = NO_HALO,
        fill: int = 0,
    ) -> View:
        """Arena memory that no value of the model has; its halo is filled with the byte ``fill``."""
        view = allocate(Kind.ARENA, element, shape, order, halo)
        if halo != NO_HALO:
            self.emit(ClearHalo("padding", view, fill))
        return view

    def alias(self, value: ir.Value, view: View) -> None:
        self.env[value] = view

    def _placed(self, value: ir.Value, order: tuple[int, ...]) -> View | None:
        place = self.placements.get(value)
        if place is None:
            return None
        if place.parent not in self._parents:
            self._parents[place.parent] = self.new(place.parent, order)
        parent = self._parents[place.parent]
        if significant(memory_order(parent), parent.shape) != significant(order, static_shape(value)):
            return None
        return parent.slice(place.axis, place.start, static_shape(value)[place.axis])

    def parent_of(self, value: ir.Value, order: Sequence[int]) -> View:
        """The memory of a joined value: made already when a part was placed in it."""
        return self._parents[value] if value in self._parents else self.new(value, order)

    def reuse(self, node: ir.Node, index: int, output: ir.Value) -> View | None:
        """Input ``index``'s memory for ``output``, when nobody reads the input again and the two fit."""
        value = required_input(node, index)
        view = self.env.get(value)
        if view is None or output in self.placements or output.is_graph_output() or not is_exclusive(value):
            return None
        producer = value.producer()
        if view.storage.kind is not Kind.ARENA or producer is None or producer.op_type in VIEW_OPERATORS:
            return None
        if producer.op_type == "Concat" and not all(
            part is not None and is_exclusive(part) for part in producer.inputs
        ):
            return None  # a part that somebody else still reads may lie in it
        wanted = self.halos.get(output, NO_HALO)
        if view.shape != static_shape(output) or any(w > h for w, h in zip(wanted, view.halo, strict=True)):
            return None
        if element_of(output) != view.element:
            return None
        self.env[output] = view
        return view

    def arranged(self, view: View, order: Sequence[int], name: str = "arrange") -> View:
        """A copy of ``view`` without gaps, its axes in this order in memory."""
        copied = self.scratch(view.shape, order, view.element)
        self.emit(Copy(name, view, copied))
        return copied

    def channels_last(self, view: View, halo: Halo = NO_HALO, fill: int = 0) -> View:
        """A rank-3 or rank-4 map whose pixels are runs of channels, with at least ``halo`` of ``fill`` around it."""
        fits = is_channels_last(view) and all(have >= want for have, want in zip(view.halo, halo, strict=True))
        if fits and all(stride >= 0 for stride in view.strides):
            return view
        copied = self.scratch(view.shape, last_order(len(view.shape)), view.element, halo, fill)
        self.emit(Copy("arrange", view, copied))
        return copied

    def dense(self, view: View, name: str = "arrange") -> View:
        """``view`` in row-major order without gaps."""
        return view if view.is_dense() else self.arranged(view, tuple(range(len(view.shape))), name)

    def tail(self, node: ir.Node, shape_order: Sequence[int]) -> Tail:
        """The addition and the clamp after ``node`` that its kernel takes over; their nodes are absorbed."""
        value, residual = node.outputs[0], None
        follower = self._only_reader(value)
        if is_op(follower, "Add") and follower is not None:
            other = follower.inputs[0] if follower.inputs[1] is value else follower.inputs[1]
            view = self.env.get(other) if other is not None and other is not value else None
            if view is not None and view.shape == static_shape(value) and _same_order(view, shape_order):
                residual, value = view, follower.outputs[0]
                self.absorbed.add(follower)
                follower = self._only_reader(value)
        limits = clamp(follower) if follower is not None else None
        if follower is None or limits is None:
            return Tail(value, residual)
        self.absorbed.add(follower)
        return Tail(follower.outputs[0], residual, *limits)

    def _only_reader(self, value: ir.Value) -> ir.Node | None:
        if not is_exclusive(value) or value in self.placements:
            return None
        reader = value.consumers()[0]
        return reader if reader.domain == "" else None


def clamp(node: ir.Node) -> tuple[float, float] | None:
    """The bounds of a Relu, or of a Clip with constant ones; None for anything else."""
    if is_op(node, "Relu"):
        return 0.0, INFINITY
    if not is_op(node, "Clip"):
        return None
    bounds = []
    for index, missing in ((1, -INFINITY), (2, INFINITY)):
        array = constant(input_of(node, index))
        if array is None and input_of(node, index) is not None:
            return None
        bounds.append(missing if array is None else float(array.reshape(-1)[0]))
    return bounds[0], bounds[1]


def last_order(rank: int) -> tuple[int, ...]:
    """The order (batch, rows, columns, channels) of a rank-4 value, and the like of rank 3."""
    return (0, *range(2, rank), 1) if rank > 1 else tuple(range(rank))


def element_of(value: ir.Value) -> Element:
    """Element type of a value in the arena: int8 lies there as uint8, 128 higher, as processors multiply it.

    Types that programs do not have never pass ``check``.
    """
    return U8 if value.dtype == ir.DataType.INT8 else ELEMENTS[_type_name(value)]


def interface_element(value: ir.Value) -> Element:
    """Element type of a value in the caller's memory: the model's own."""
    return ELEMENTS[_type_name(value)]


def _type_name(value: ir.Value) -> str:
    assert value.dtype is not None
    return str(value.dtype.numpy().name)


def significant(order: Sequence[int], shape: Shape) -> tuple[int, ...]:
    """The order without axes of size 1, which lie anywhere."""
    return tuple(axis for axis in order if shape[axis] != 1)


def _same_order(view: View, order: Sequence[int]) -> bool:
    return significant(memory_order(view), view.shape) == significant(order, view.shape) and (
        view.strides[order[-1]] == 1 or view.shape[order[-1]] == 1
    )


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """As ``element_of`` says."""
    if array.dtype == np.int8:
        return array.view(np.uint8) ^ np.uint8(128)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
