"""Steps cut into shares for threads: one per thread, decided at generation.

Guarantees: the shares of a step write different elements and read what earlier steps wrote; every element is computed
by the same arithmetic in the same order as without shares, so that the bits are the same.
Does not guarantee: shares for every step; small ones, and kinds that are not named here, stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from kakuri.codegen.copy import Copy
from kakuri.codegen.kernels.chain import Chain
from kakuri.codegen.kernels.depthwise import Depthwise
from kakuri.codegen.kernels.integer.depthwise import DotDepthwise
from kakuri.codegen.kernels.integer.dot import Dot
from kakuri.codegen.kernels.linear import Linear
from kakuri.codegen.kernels.map import Map
from kakuri.codegen.kernels.pool import Pool
from kakuri.codegen.program import Operation, Program
from kakuri.codegen.views import View, memory_order
from kakuri.codegen.weights import PANEL, aligned

LARGEST_THREADS = 64
LEAST_WORK = 1 << 16  # of a share, in multiplications; less is done before another thread has begun
_PER_ELEMENT = 32  # of steps that are bound by memory
_APART_BYTES = 64  # between the arena's last map, which kernels may read a few bytes beyond, and the shares' scratch
_CHANNELS = 16  # of a pool's share


def share(program: Program, threads: int, least_work: int = LEAST_WORK) -> None:
    """Fill in ``program.shares`` and give every share scratch memory of its own; ``program`` is placed already."""
    program.shares = [shares_of(item, threads, least_work) for item in program.operations]
    own = aligned(max((part.scratch_bytes for parts in program.shares for part in parts), default=0))
    whole = aligned(max((item.scratch_bytes for item in program.operations), default=0))
    program.share_scratch_bytes = own
    program.scratch_offset_bytes += _APART_BYTES
    program.arena_bytes = program.scratch_offset_bytes + max(whole, threads * own)


def shares_of(operation: Operation, threads: int, least_work: int = LEAST_WORK) -> list[Operation]:
    """At most ``threads`` operations that together do what ``operation`` does."""
    cut = _CUTS.get(type(operation))
    if cut is None or _work(operation) < least_work * threads:
        return [operation]
    return list(cut(operation, threads)) or [operation]


def _work(operation: Operation) -> int:
    """Multiplications, or what takes as long."""
    if isinstance(operation, Chain):
        return sum(map(_work, operation.stages))
    if isinstance(operation, (Linear, Dot)):
        g = operation.geometry
        return g.H * g.W * g.N * g.K * operation.samples[0] * operation.groups[0]
    return _PER_ELEMENT * sum(view.size for view in operation.writes)


def _runs(size: int, threads: int) -> Iterator[tuple[int, int]]:
    """(start, count), sizes that differ by at most 1; nothing when there are fewer than two."""
    parts = min(size, threads)
    for index in range(parts if parts > 1 else 0):
        start, end = index * size // parts, (index + 1) * size // parts
        yield start, end - start


def _even(rows: int, threads: int) -> bool:
    """Whether shares of rows are much the same."""
    return rows % threads == 0 or rows >= 8 * threads


def _chain(item: Chain, threads: int) -> Iterator[Operation]:
    for start, count in _runs(item.last, threads):
        yield replace(item, first=start, last=start + count)


def _linear(item: Linear, threads: int) -> Iterator[Operation]:
    g = item.geometry
    panels = -(-g.N // PANEL)
    if g.H > 1 and (_even(g.H, threads) or panels < 2 * threads or item.groups[0] > 1):
        for start, count in _runs(g.H, threads):
            yield _moved(replace(item, geometry=replace(g, H=count)), start * g.a_row, start * g.c_row, start * g.r_row)
    elif g.H == 1 and g.W > 1 and item.samples[0] == 1 and (_even(g.W, threads) or panels < 2 * threads):
        for start, count in _runs(g.W, threads):
            shape = replace(g, W=count, a_row=count * g.a_px, c_row=count * g.c_px, r_row=count * g.r_px)
            yield _moved(replace(item, geometry=shape), start * g.a_px, start * g.c_px, start * g.r_px)
    elif item.groups[0] == 1:
        for first, count in _runs(panels, threads):
            start, columns = first * PANEL, min(count * PANEL, g.N - first * PANEL)
            yield _moved(
                replace(
                    item,
                    panels=_shifted(item.panels, start * g.K),
                    bias=_shifted(item.bias, start),
                    geometry=replace(g, N=columns),
                ),
                0,
                start,
                start,
            )


def _moved(item: Linear, source: int, target: int, residual: int) -> Linear:
    rest = None if item.residual is None else _shifted(item.residual, residual)
    return replace(item, offset=item.offset + source, target=_shifted(item.target, target), residual=rest)


def _dot(item: Dot, threads: int) -> Iterator[Operation]:
    g = item.geometry
    if g.H > 1:
        for start, count in _runs(g.H, threads):
            shape, target = replace(g, H=count), _shifted(item.target, start * g.c_row)
            yield replace(item, geometry=shape, offset=item.offset + start * g.a_row, target=target)
    elif item.samples[0] == 1:
        for start, count in _runs(g.W, threads):
            shape = replace(g, W=count, a_row=count * g.a_px, c_row=count * g.c_px)
            target = _shifted(item.target, start * g.c_px)
            yield replace(item, geometry=shape, offset=item.offset + start * g.a_px, target=target)


def _depthwise(item: Any, threads: int) -> Iterator[Operation]:
    """Of floats or levels."""
    step = item.window.strides[0] * item.source.strides[2]
    for start, count in _runs(item.target.shape[2], threads):
        yield replace(item, source=_shifted(item.source, start * step), target=item.target.slice(2, start, count))


def _pool(item: Pool, threads: int) -> Iterator[Operation]:
    channels = item.target.shape[1]
    for first, count in _runs(-(-channels // _CHANNELS), threads):
        start = first * _CHANNELS
        taken = min(count * _CHANNELS, channels - start)
        yield replace(item, source=item.source.slice(1, start, taken), target=item.target.slice(1, start, taken))


def _copy(item: Copy, threads: int) -> Iterator[Operation]:
    for axis, start, count in _slices(item.target, threads):
        yield replace(item, source=item.source.slice(axis, start, count), target=item.target.slice(axis, start, count))


def _map(item: Map, threads: int) -> Iterator[Operation]:
    for axis, start, count in _slices(item.target, threads):
        operands = tuple(view.slice(axis, start, count) for view in item.operands)
        yield replace(item, operands=operands, target=item.target.slice(axis, start, count))


def _slices(view: View, threads: int) -> Iterator[tuple[int, int, int]]:
    """(axis, start, count) along the slowest axis that has enough."""
    for axis in memory_order(view):
        if view.shape[axis] >= threads and view.strides[axis] != 1:
            for start, count in _runs(view.shape[axis], threads):
                yield axis, start, count
            return


def _shifted(view: View, elements: int) -> View:
    return replace(view, offset=view.offset + elements)


_CUTS: dict[type[Operation], Callable[[Any, int], Iterator[Operation]]] = {
    Chain: _chain,
    Linear: _linear,
    Dot: _dot,
    Depthwise: _depthwise,
    DotDepthwise: _depthwise,
    Pool: _pool,
    Copy: _copy,
    Map: _map,
}
