"""Level 4's pieces: every step with its own weights, matrices cut into runs of columns.

Purpose: ``cut(program)`` says in which parts each step is computed, what weights each needs, and makes room for the
largest of them in the arena: the window that they are opened into one after the other.
Guarantees: the window is all that is plain at any time. Where a layer is a convolution of one group or a product, a
part holds at most 4 % of the weights, or 8 columns where those are more; 16 rows of them in float32 products.
Does not guarantee: 4 % for other layers (depthwise, grouped, recurrent, tables): they are opened whole.
``CodegenPlan`` states the size of the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.kernels.integer.dot import Dot, padded, quads
from kakuri.codegen.kernels.integer.levels import COLUMNS_ROUND
from kakuri.codegen.kernels.integer.rest import QUAD, rest_array, taps_in
from kakuri.codegen.kernels.linear import Linear
from kakuri.codegen.lowering import INFINITY
from kakuri.codegen.program import Operation, Part, Program
from kakuri.codegen.views import Element, Kind, Storage, View
from kakuri.codegen.weights import PANEL, ROUND, SLACK_BYTES, Weights, aligned, columns_of, panels

LARGEST_SHARE = 0.04
_LARGEST_BYTES = 256 << 10
_VECTOR = 16  # biases are read in whole vectors
_FEWEST_ROWS = 16
T = TypeVar("T")


def cut(program: Program) -> None:
    """Fill in ``program.parts`` and the window; ``program`` is placed already."""
    limit = min(_LARGEST_BYTES, int(LARGEST_SHARE * len(program.weights.blob())))
    program.parts = [list(_parts(item, program.weights, limit)) for item in program.operations]
    largest = max((len(part.plain) for parts in program.parts for part in parts), default=0)
    program.window_offset_bytes = program.arena_bytes
    program.arena_bytes += aligned(largest + SLACK_BYTES)


def _parts(operation: Operation, weights: Weights, limit_bytes: int) -> Iterator[Part]:
    if isinstance(operation, Linear) and operation.groups[0] == 1 and operation.panels.storage.kind is Kind.WEIGHTS:
        yield from _linear(operation, weights, limit_bytes)
    elif isinstance(operation, Dot) and operation.groups[0] == 1:
        yield from _dot(operation, weights, limit_bytes)
    else:
        window = Window()
        moved = moved_weights(operation, lambda storage: window.whole(storage, weights))
        yield Part(moved, window.plain)


class Window:
    """The weights of one part, in the order in which they were added."""

    def __init__(self) -> None:
        self.plain = b""
        self._known: dict[Storage, Storage] = {}

    def add(self, array: NDArray[Any], element: Element) -> Storage:
        """Where ``array`` lies in the window."""
        at = aligned(len(self.plain))
        self.plain = self.plain.ljust(at, b"\0") + array.tobytes()
        return Storage(Kind.WEIGHTS, element, array.size, offset_bytes=at)

    def whole(self, storage: Storage, weights: Weights) -> Storage:
        """Where what lies in ``storage`` lies in the window, once for all views of it."""
        if storage not in self._known:
            self._known[storage] = self.add(weights.content(storage), storage.element)
        return self._known[storage]


def moved_weights(item: T, place: Callable[[Storage], Storage]) -> T:
    """``item`` with every view of weights in it, at any depth, on the storage that ``place`` gives."""
    found: Any = item
    if isinstance(item, View):
        found = replace(item, storage=place(item.storage)) if item.storage.kind is Kind.WEIGHTS else item
    elif isinstance(item, (tuple, list)):
        found = type(item)(moved_weights(part, place) for part in item)
    elif is_dataclass(item) and not isinstance(item, (type, Storage)):
        found = replace(item, **{f.name: moved_weights(getattr(item, f.name), place) for f in fields(item) if f.init})
    return found  # type: ignore[no-any-return]


def _runs(columns: int, column_bytes: int, limit_bytes: int) -> Iterator[tuple[int, int]]:
    """(start, end) of runs of columns: as many whole panels as the limit allows, or part of one."""
    most = limit_bytes // column_bytes
    width = most // PANEL * PANEL or max(ROUND, most // ROUND * ROUND)
    for start in range(0, columns, width):
        yield start, min(start + width, columns)


def _linear(operation: Linear, weights: Weights, limit_bytes: int) -> Iterator[Part]:
    g = operation.geometry
    matrix = columns_of(weights.content(operation.panels.storage), g.K, g.N)[:, :, 0]
    bias = weights.content(operation.bias.storage)
    for start, end in _runs(g.N, 4 * g.K, limit_bytes):
        shares = _shares(operation, 4 * (end - start), limit_bytes)
        for first, last in shares:
            window, begins, ends = Window(), first == 0, last == g.K
            added = bias[start:end] if begins else np.zeros(end - start, np.float32)
            rest = operation.residual if begins else operation.target
            shape = replace(g, N=end - start)
            if len(shares) > 1:
                shape = replace(shape, K=last - first, len=last - first)
                shape = shape if begins else replace(shape, r_row=g.c_row, r_px=g.c_px)
            part = replace(
                operation,
                panels=_in(window, operation.panels, panels(matrix[first:last, start:end])),
                bias=_in(window, operation.bias, np.pad(added, (0, -(end - start) % _VECTOR))),
                target=_shifted(operation.target, start),
                residual=None if rest is None else _shifted(rest, start),
                geometry=shape,
                offset=operation.offset + first,
                low=operation.low if ends else -INFINITY,
                high=operation.high if ends else INFINITY,
                samples=operation.samples if begins else (*operation.samples[:3], operation.samples[2]),
            )
            yield Part(part, window.plain)


def _shares(operation: Linear, row_bytes: int, limit_bytes: int) -> list[tuple[int, int]]:
    """Runs of rows whose products are added up in the target; all rows where a pixel is read in several segments."""
    g = operation.geometry
    rows = max(_FEWEST_ROWS, limit_bytes // row_bytes)
    if (g.kh, g.kw) != (1, 1):
        return [(0, g.K)]
    return [(first, min(first + rows, g.K)) for first in range(0, g.K, rows)]


def _dot(operation: Dot, weights: Weights, limit_bytes: int) -> Iterator[Part]:
    g = operation.geometry
    rows = g.kh * g.kw * padded(g.len) // QUAD
    matrix = columns_of(weights.content(operation.panels.storage), rows, g.N, QUAD)
    levels = operation.levels
    table = weights.content(levels.table.storage).reshape(levels.table.shape)
    for start, end in _runs(g.N, QUAD * rows, limit_bytes):
        window = Window()
        beyond = -(end - start) % COLUMNS_ROUND
        own = np.pad(table[:, :, start:end], ((0, 0), (0, 0), (0, beyond)), mode="edge")
        shape = replace(levels.table, shape=own.shape, strides=(own[0].size, own.shape[2], 1))
        part = replace(
            operation,
            panels=_in(window, operation.panels, quads(matrix[:, start:end])),
            levels=replace(levels, table=_in(window, shape, own)),
            target=_shifted(operation.target, start),
            geometry=replace(g, N=end - start),
            rest=_rest(window, operation, weights, start, end),
        )
        yield Part(part, window.plain)


def _rest(window: Window, operation: Dot, weights: Weights, start: int, end: int) -> View | None:
    """Of the columns from start to end."""
    if operation.rest is None:
        return None
    taps = taps_in(weights.content(operation.rest.storage), operation.geometry.N)
    own = [(offset, part[start:end]) for offset, part in taps if part[start:end].any()]
    return _in(window, operation.rest, rest_array(own, end - start)) if own else None


def _in(window: Window, view: View, array: NDArray[Any]) -> View:
    return replace(view, storage=window.add(np.ascontiguousarray(array), view.element), offset=0)


def _shifted(view: View, columns: int) -> View:
    """From this column on; columns follow each other where products write them."""
    return replace(view, offset=view.offset + columns)
