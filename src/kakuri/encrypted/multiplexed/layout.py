"""Where the elements of a tensor stand in the slots of a few ciphertexts.

Purpose: the vocabulary of the multiplexed packing. Element (c, p), channel c at position p, stands in ciphertext
``channel_ct[k]`` at slot ``channel_slot[k] + entry_slot[e]`` (mod slots) for every k with ``channel[k] == c`` and
every e with ``entry_position[e] == p``: channels and positions contribute separately, and either may have several
copies.
Guarantees: layouts are immutable and compare by content (``key``).
Does not guarantee: that two elements never share a slot; ``check_disjoint`` proves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layout:
    """channels, positions: of the tensor. channel, channel_ct, channel_slot: (k,) int64. entry_position, entry_slot:
    (e,) int64. grid: (height, width) of the positions."""

    slots: int
    ciphertexts: int
    channels: int
    grid: tuple[int, int]
    channel: IntArray
    channel_ct: IntArray
    channel_slot: IntArray
    entry_position: IntArray
    entry_slot: IntArray
    name: str = field(default="", compare=False)

    @property
    def positions(self) -> int:
        return self.grid[0] * self.grid[1]

    @cached_property
    def key(self) -> bytes:
        """Equal for equal layouts."""
        numbers = (self.slots, self.ciphertexts, self.channels, *self.grid)
        arrays = (self.channel, self.channel_ct, self.channel_slot, self.entry_position, self.entry_slot)
        return repr(numbers).encode() + b"".join(a.tobytes() + b"|" for a in arrays)

    @cached_property
    def channel_places(self) -> tuple[IntArray, IntArray]:
        """(ciphertext, slot), each (channels, copies); -1 where a channel has fewer copies."""
        ct = _padded(self.channel, self.channel_ct, self.channels)
        return ct, _padded(self.channel, self.channel_slot, self.channels)

    @cached_property
    def position_places(self) -> IntArray:
        """(positions, copies) slot, -1 where a position has fewer copies or none."""
        return _padded(self.entry_position, self.entry_slot, self.positions)

    def table(self) -> tuple[IntArray, IntArray, IntArray]:
        """(ciphertext, slot, element) of every place; element = channel * positions + position."""
        slot = (self.channel_slot[:, None] + self.entry_slot[None, :]) % self.slots
        element = self.channel[:, None] * self.positions + self.entry_position[None, :]
        ct = np.broadcast_to(self.channel_ct[:, None], slot.shape)
        return ct.reshape(-1), slot.reshape(-1), element.reshape(-1)

    def check_disjoint(self) -> Layout:
        """Raises KK-E31 when two elements share a slot or one has no place: a fault of whoever proposed the layout."""
        ct, slot, element = self.table()
        places = ct * self.slots + slot
        if len(np.unique(places)) != len(places) or len(np.unique(element)) != self.channels * self.positions:
            raise KakuriError(
                "KK-E31",
                "a layout puts two elements in one slot or leaves one out",
                where=self.name,
                got=f"{len(np.unique(places))} places for {len(places)} copies of {len(np.unique(element))} elements",
                limit=f"{self.channels * self.positions} elements",
            )
        return self

    @cached_property
    def used_slots(self) -> list[IntArray]:
        """Per ciphertext the slots that hold an element."""
        ct, slot, _ = self.table()
        return [np.unique(slot[ct == i]) for i in range(self.ciphertexts)]

    def with_shifts(self, shifts: list[int]) -> Layout:
        """Every element also stands ``shift`` slots before each of its places, for each of ``shifts`` (0 included)."""
        slot = (self.entry_slot[None, :] - np.asarray(shifts)[:, None]) % self.slots
        position = np.broadcast_to(self.entry_position, slot.shape)
        return replace(self, entry_slot=slot.reshape(-1), entry_position=position.reshape(-1))


def _padded(index: IntArray, values: IntArray, count: int) -> IntArray:
    order = np.argsort(index, kind="stable")
    counts = np.bincount(index, minlength=count)
    column = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((count, max(1, int(counts.max(initial=1)))), -1, dtype=np.int64)
    table[index[order], column] = values[order]
    return table
