"""What diagonals could do for a linear layer between two layouts: the covering problem.

Purpose: every product of a layer (an output's place, an input) may be done by several diagonals when the input has
copies or the output may be summed from several partial places (``homes``). ``pose`` lists who could do what.
Guarantees: products that the same diagonals can do stand in one row, so a row is exact and a problem is small.
Does not guarantee: that the problem is posed at all; layouts that do not go together make too many rows.

Products fall into rows twice over. An (output channel's place, input channel) pair matters only by the distances
between its copies: planes at even distances have as many groups of pairs as planes, not its square. And a (tap, output
place) matters only by its slot differences: a 3x3 convolution on planes has nine classes, not 2,304.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kakuri.encrypted.multiplexed.layout import IntArray, Layout
from kakuri.encrypted.multiplexed.linear import Linear

MAX_OPTIONS = 1 << 26


@dataclass(frozen=True)
class Problem:
    """Who could do what, for every group of pairs and every class of (tap, position).

    group: (places of output channels, input channels), the group of every pair. class_of: (taps, entries of target),
    the class or -1. sizes: (classes,) of them. work: (groups, classes) products. pair, distance, home: (groups, r) for
    every copy of the input channel and every home: pair of ciphertexts (output * inputs + input) or -1, distance below
    ``turn``, and an index of ``homes``. shifts: (classes, copies of a position) further distance, or -1.

    A group's products in a class are done by any diagonal (pair, (distance + shift) mod turn). cyclic: homes are
    multiples of ``turn`` all the way round, and every whole turn in distance + shift goes one home further.
    """

    linear: Linear
    source: Layout
    target: Layout
    homes: tuple[int, ...]
    cyclic: bool
    turn: int
    group: IntArray
    class_of: IntArray
    sizes: IntArray
    work: IntArray
    pair: IntArray
    distance: IntArray
    home: IntArray
    shifts: IntArray

    @property
    def lower_bound(self) -> int:
        """No choice of diagonals does all products with fewer."""
        return math.ceil(int(self.work.sum()) / self.target.slots)

    @property
    def pairs(self) -> int:
        return self.target.ciphertexts * self.source.ciphertexts


def pose(
    linear: Linear,
    source: Layout,
    target: Layout,
    homes: tuple[int, ...],
    *,
    cyclic: int = 0,
    max_classes: int = MAX_OPTIONS,
) -> Problem | None:
    """The covering problem, or None when it is too large to be worth solving.

    max_classes: more classes of (tap, position) than this say that the layouts do not go together. cyclic: the distance
    of homes that go all the way round, when each copy shall reach only the one that takes the least shift; else 0.
    """
    class_of, shifts = _spatial_classes(linear, source, target)
    if len(shifts) > max_classes:
        return None
    turn = cyclic or target.slots
    group, bases = _pair_groups(source, target)
    pair, distance, home = _reach(bases, (0,) if cyclic else homes, target.slots, turn)
    if len(bases) * len(shifts) * pair.shape[1] * shifts.shape[1] > MAX_OPTIONS:
        return None
    sizes = np.bincount(class_of[class_of >= 0], minlength=len(shifts))
    work = sizes * _pairs_of(linear, target, (group, len(bases)), (class_of, len(shifts)))
    return Problem(
        linear, source, target, homes, cyclic > 0, turn, group, class_of, sizes, work, pair, distance, home, shifts
    )


def _reach(bases: IntArray, homes: tuple[int, ...], slots: int, turn: int) -> tuple[IntArray, IntArray, IntArray]:
    """pair, distance and home of ``Problem``, each once. bases: (groups, copies), see ``_pair_groups``."""
    pair, base = np.divmod(bases[:, :, None], slots)
    home, distance = np.divmod((base - np.asarray(homes)) % slots, turn)
    home = home + np.arange(len(homes))
    places = np.where(bases[:, :, None] < 0, -1, pair * turn + distance).reshape(len(bases), -1)
    home = home.reshape(len(bases), -1)
    order = np.argsort(places, axis=1, kind="stable")
    places, home = np.take_along_axis(places, order, axis=1), np.take_along_axis(home, order, axis=1)
    places[:, 1:][places[:, 1:] == places[:, :-1]] = -1
    width = max(1, int((places >= 0).sum(axis=1).max()))
    order = np.argsort(places < 0, axis=1, kind="stable")[:, :width]
    places, home = np.take_along_axis(places, order, axis=1), np.take_along_axis(home, order, axis=1)
    pair, distance = np.divmod(places, turn)
    return pair, distance, home


def _pair_groups(source: Layout, target: Layout) -> tuple[IntArray, IntArray]:
    """group (places of output channels, input channels), and bases (groups, copies)."""
    ct, slot = source.channel_places
    pair = target.channel_ct[:, None, None] * source.ciphertexts + ct
    shift = (slot - target.channel_slot[:, None, None]) % target.slots
    keys = np.sort(np.where(ct >= 0, pair * target.slots + shift, -1), axis=2)
    group, bases = distinct(keys.reshape(-1, ct.shape[1]))
    return group.reshape(keys.shape[:2]), bases


def _spatial_classes(linear: Linear, source: Layout, target: Layout) -> tuple[IntArray, IntArray]:
    """class_of (taps, target entries), and shifts (classes, copies of a position): source slot minus target slot."""
    place = linear.taps[:, target.entry_position]
    inside = place >= 0
    copies = source.position_places[place[inside]]
    shift = np.where(copies >= 0, (copies - np.broadcast_to(target.entry_slot, place.shape)[inside][:, None]), 0)
    shift = np.sort(np.where(copies >= 0, shift % target.slots, -1), axis=1)
    class_of = np.full(place.shape, -1, dtype=np.int64)
    class_of[inside], shifts = distinct(shift)
    return class_of, shifts


def distinct(rows: IntArray) -> tuple[IntArray, IntArray]:
    """(n,) which of the distinct rows each row is, and those. Rows are told apart by a random sum, then compared."""
    factors = np.random.default_rng(0).integers(0, 1 << 63, rows.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    mixed = (rows.astype(np.uint64) * factors).sum(axis=1)
    _, first, index = np.unique(mixed, return_index=True, return_inverse=True)
    found = rows[first]
    if not np.array_equal(found[index], rows):
        found, index = np.unique(rows, axis=0, return_inverse=True)
    return index.reshape(-1), found


def _pairs_of(linear: Linear, target: Layout, grouped: tuple[IntArray, int], kinds: tuple[IntArray, int]) -> IntArray:
    """(groups, classes): how many pairs of the group have a weight in some tap of the class."""
    (group, groups), (class_of, classes) = grouped, kinds
    nonzero = linear.weight != 0.0
    if nonzero.all():
        return np.repeat(np.bincount(group.reshape(-1), minlength=groups)[:, None], classes, axis=1)
    tap, entry = np.nonzero(class_of >= 0)
    has_tap = np.zeros((nonzero.shape[2], classes), dtype=np.float32)
    has_tap[tap, class_of[tap, entry]] = 1.0
    needed = (nonzero.reshape(-1, nonzero.shape[2]).astype(np.float32) @ has_tap > 0.0).reshape(*nonzero.shape[:2], -1)
    order = np.argsort(group, axis=None, kind="stable")
    starts = np.searchsorted(group.reshape(-1)[order], np.arange(groups))
    pairs = needed[target.channel].reshape(-1, classes)[order]
    counted: IntArray = np.add.reduceat(pairs, starts, axis=0, dtype=np.int64)
    return counted
