"""Candidate layouts for what a layer puts out.

Purpose: a small set of layouts worth pricing for every layer, from digit structures: which of row, column, phase of
the next pool, tap of the next convolution, channel and partial sum is the slow digit and which the fast one.
Guarantees: every target's layout is disjoint, and its homes are too.
Does not guarantee: that the best layout is among them; the search prices what is proposed, nothing more.

A pattern is the place of one channel's positions (``entries``), the distance between channels (``stride``), how many of
them fit side by side (``count``) and, where a map has gaps, the offsets of further channels in the gaps (``subs``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from kakuri.encrypted.multiplexed.layout import IntArray, Layout
from kakuri.encrypted.network import Pool

MAX_HOMES = 16


@dataclass(frozen=True)
class Pattern:
    """grid: (height, width). entries: position and slot of every place of one channel. pitch: (rows, columns) slots
    between neighbouring positions, or None where neighbours are not at one distance. row: slots from one row of the
    ungapped grid to the next."""

    name: str
    grid: tuple[int, int]
    position: IntArray
    slot: IntArray
    stride: int
    count: int
    subs: tuple[int, ...] = (0,)
    pitch: tuple[int, int] | None = None
    row: int = 1


@dataclass(frozen=True)
class Target:
    """layout: the places of complete values once the homes are folded. homes: slot offsets of the partial sums, whose
    first is 0. fold: rotations that add them up. product: the layout of home 0, before the fold made copies."""

    name: str
    product: Layout
    layout: Layout
    pattern: Pattern
    homes: tuple[int, ...] = (0,)
    cyclic: int = 0  # distance of homes that go all the way round, 0 when they do not


def power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def plain(grid: tuple[int, int], slots: int, *, exact: bool = False) -> Pattern:
    """Row after row, channel after channel."""
    size = grid[0] * grid[1]
    stride = size if exact else power_of_two(size)
    return Pattern(
        "exact" if exact else "plain",
        grid,
        np.arange(size),
        np.arange(size),
        stride,
        slots // stride,
        pitch=(grid[1], 1),
        row=grid[1],
    )


def phases(grid: tuple[int, int], pool: Pool, slots: int) -> Pattern | None:
    """The position inside the pool's window is the slowest digit of the ciphertext, so that adding up a window leaves
    its sum in every quarter: the next layer's copies, for nothing."""
    (ky, kx), (height, width) = pool.kernel, grid
    window = ky * kx
    tiles = pool.kernel == pool.strides and not any(pool.pads) and height % ky == 0 and width % kx == 0
    if not tiles or slots % window or window == 1 or window & (window - 1):
        return None
    y, x = np.divmod(np.arange(height * width), width)
    coarse = (height // ky) * (width // kx)
    stride, part = power_of_two(coarse), slots // window
    if stride > part:
        return None
    slot = (y % ky * kx + x % kx) * part + y // ky * (width // kx) + x // kx
    return Pattern("phases", grid, np.arange(height * width), slot, stride, part // stride)


def taps(grid: tuple[int, int], following: IntArray, slots: int) -> Pattern | None:
    """following: (taps, positions) of the next convolution. Every value stands under every tap that reads it;
    values that nobody reads stand nowhere."""
    count, positions = following.shape
    tap, place = np.nonzero(following >= 0)
    position = following[tap, place]
    if count * positions > slots:
        return None
    stride = count * positions
    return Pattern("taps", grid, position, tap * positions + place, stride, slots // stride)


def inherit(source: Pattern, grid: tuple[int, int], strides: tuple[int, int], slots: int) -> Pattern | None:
    """Outputs where the inputs stood; a stride leaves gaps, which further channels fill."""
    if source.pitch is None:
        return None
    py, px = source.pitch[0] * strides[0], source.pitch[1] * strides[1]
    slot = (np.arange(grid[0])[:, None] * py + np.arange(grid[1])[None, :] * px).reshape(-1)
    if slot.max(initial=0) >= source.stride:
        return None
    gaps = tuple(a * source.row + b for a in range(py // source.row) for b in range(px)) if py >= source.row else (0,)
    return Pattern(
        "inherit", grid, np.arange(len(slot)), slot, source.stride, slots // source.stride, gaps, (py, px), source.row
    )


def targets(pattern: Pattern, channels: int, slots: int, *, copies: bool, partial: bool) -> Iterator[Target]:
    """Layouts of ``channels`` in this pattern: once, with periodic copies, with partial sums in further homes."""
    for subs in dict.fromkeys((pattern.subs[:1], pattern.subs)):
        capacity = pattern.count * len(subs)
        ciphertexts = -(-channels // capacity)
        planes = -(-channels // (len(subs) * ciphertexts))
        most = pattern.count // planes
        filled = replace(pattern, subs=subs)
        base = _place(filled, channels, slots, ciphertexts=ciphertexts, planes=planes)
        label = f"{pattern.name}{len(subs)}"
        single = Target(label, base, base, filled)
        if most == 1 or not copies:
            yield single
        if copies and most > 1 and ciphertexts == 1:
            repeated = _repeat(base, planes * pattern.stride, most)
            yield replace(single, name=f"{label}x{most}", product=repeated, layout=repeated)
        if partial:
            for homes in _home_counts(most):
                offsets = tuple(h * planes * pattern.stride for h in range(homes))
                around = homes * planes * pattern.stride == slots and homes & (homes - 1) == 0
                layout = _repeat(base, planes * pattern.stride, homes) if around else base
                yield replace(
                    single,
                    name=f"{label}/{homes}",
                    layout=layout,
                    homes=offsets,
                    cyclic=planes * pattern.stride if around else 0,
                )
                if not around and homes & (homes - 1) == 0:
                    yield _spread_homes(single, f"{label}/{homes}r", base, slots // homes, homes)


def _spread_homes(single: Target, name: str, base: Layout, distance: int, homes: int) -> Target:
    """Homes at even distances all the way round: adding them up leaves the sum in each, the next layer's copies."""
    offsets = tuple(h * distance for h in range(homes))
    return replace(single, name=name, layout=_repeat(base, distance, homes), homes=offsets, cyclic=distance)


def folded(channels: int, slots: int, stride: int) -> Target:
    """One value per channel, partial sums everywhere: channel o at every slot congruent to o modulo ``stride``."""
    channel = np.arange(channels)
    zero = np.zeros(1, dtype=np.int64)
    base = Layout(slots, 1, channels, (1, 1), channel, channel * 0, channel, zero, zero, f"folded{stride}")
    pattern = Pattern(f"folded{stride}", (1, 1), zero, zero, 1, stride, pitch=(1, 1))
    homes = tuple(range(0, slots, stride))
    return Target(base.name, base, _repeat(base, stride, len(homes)), pattern, homes, stride)


def _home_counts(most: int) -> list[int]:
    """Powers of two fold in few rotations; the largest count saves most diagonals."""
    powers = [1 << k for k in range(1, most.bit_length()) if 1 << k <= min(most, MAX_HOMES)]
    return sorted({*powers, most} if 1 < most <= MAX_HOMES else set(powers))


def _place(pattern: Pattern, channels: int, slots: int, *, ciphertexts: int, planes: int) -> Layout:
    channel = np.arange(channels)
    cell = channel % (planes * len(pattern.subs))
    slot = cell % planes * pattern.stride + np.asarray(pattern.subs)[cell // planes]
    ct = channel // (planes * len(pattern.subs))
    return Layout(
        slots, ciphertexts, channels, pattern.grid, channel, ct, slot, pattern.position, pattern.slot, pattern.name
    )


def _repeat(base: Layout, distance: int, times: int) -> Layout:
    offsets = np.repeat(np.arange(times) * distance, len(base.channel))
    return replace(
        base,
        channel=np.tile(base.channel, times),
        channel_ct=np.tile(base.channel_ct, times),
        channel_slot=np.tile(base.channel_slot, times) + offsets,
    )
