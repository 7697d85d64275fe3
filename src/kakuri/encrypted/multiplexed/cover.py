"""Which diagonals a linear layer needs between two layouts, and which product goes to which.

Purpose: every product of a layer (an output's place, an input) may be done by several diagonals when the input has
copies or the output may be summed from several partial places (``homes``). A greedy cover picks few diagonals.
Guarantees: every product is assigned to exactly one chosen diagonal.
Does not guarantee: the minimum (set cover is NP-hard); ``lower_bound`` says how far it can be.

Products are handled in classes: an (output channel place, input channel) pair times a class of (tap, output place)
that has the same slot differences for all copies of the input position. So a 3x3 convolution on planes has nine
classes, not 2,304.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.encrypted.multiplexed.layout import IntArray, Layout
from kakuri.encrypted.multiplexed.linear import Linear

MAX_OPTIONS = 1 << 26
SmallArray = NDArray[np.signedinteger[Any]]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """Members are (place of an output channel, input channel, class of tap and position). options: (members,
    alternatives) key or -1. home: of each alternative, as an index of ``homes``.

    key = (output ciphertext * inputs + input ciphertext) * slots + slot shift.
    """

    linear: Linear
    source: Layout
    target: Layout
    homes: tuple[int, ...]
    out_place: IntArray
    in_channel: IntArray
    spatial_class: IntArray
    options: SmallArray
    home: SmallArray
    class_of: IntArray  # (taps, entries of target) class or -1

    @cached_property
    def class_sizes(self) -> IntArray:
        found = self.class_of[self.class_of >= 0]
        return np.bincount(found, minlength=int(self.class_of.max(initial=0)) + 1)

    def settled(self) -> Problem:
        """The problem without its alternatives, which are large and no longer needed once a choice is made."""
        none: SmallArray = np.empty((0, 0), dtype=np.int16)
        return replace(self, options=none, home=none)

    @property
    def lower_bound(self) -> int:
        """No choice of diagonals does all products with fewer."""
        products = int(self.class_sizes[self.spatial_class].sum())
        return math.ceil(products / self.target.slots)


@dataclass(frozen=True)
class Cover:
    """problem: settled. keys: (diagonals,) sorted. diagonal, home: (members,) the choice for each of its members."""

    problem: Problem
    keys: IntArray
    diagonal: IntArray
    home: IntArray

    def split_keys(self) -> tuple[IntArray, IntArray, IntArray]:
        """(output ciphertext, input ciphertext, shift) of every diagonal."""
        slots, inputs = self.problem.target.slots, self.problem.source.ciphertexts
        pair, shift = np.divmod(self.keys, slots)
        return pair // inputs, pair % inputs, shift


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

    max_classes: more classes of (tap, position) than this say that the layouts do not go together. cyclic: when not
    0, the homes are all multiples of it and every shift is taken modulo it: one alternative per copy.
    """
    slots = target.slots
    class_of, shifts = _spatial_classes(linear, source, target)
    if len(shifts) > max_classes:
        return None
    nonzero = linear.weight != 0.0
    has_tap = np.zeros((linear.weight.shape[2], len(shifts)), dtype=np.bool_)
    tap, entry = np.nonzero(class_of >= 0)
    has_tap[tap, class_of[tap, entry]] = True
    needed = _needed(nonzero, has_tap)
    out_channel, in_channel, spatial = np.nonzero(needed[target.channel])
    ct, slot = source.channel_places
    alternatives = (1 if cyclic else len(homes)) * ct.shape[1] * shifts.shape[1]
    if len(out_channel) * alternatives > MAX_OPTIONS:
        return None
    pairs = target.ciphertexts * source.ciphertexts
    small = np.dtype(np.int32 if pairs * slots < 1 << 31 else np.int64)  # tens of millions of options happen
    base = slot[in_channel] - target.channel_slot[out_channel][:, None]
    difference = base.astype(small)[:, :, None] + shifts.astype(small)[spatial][:, None, :]
    valid = (ct[in_channel] >= 0)[:, :, None] & (shifts[spatial] >= 0)[:, None, :]
    pair = target.channel_ct[out_channel][:, None] * source.ciphertexts + ct[in_channel]
    base_key = (pair[:, :, None] * slots).astype(small)
    options: SmallArray = np.empty((len(pair), alternatives), dtype=small)
    if cyclic:
        shift = difference % cyclic
        home: SmallArray = ((difference - shift) // cyclic % len(homes)).astype(np.int16).reshape(options.shape)
        options[:] = np.where(valid, base_key + shift, -1).reshape(options.shape)
    else:
        each = alternatives // len(homes)
        for k, h in enumerate(homes):
            options[:, k * each : (k + 1) * each] = np.where(valid, base_key + (difference - h) % slots, -1).reshape(
                -1, each
            )
        home = np.broadcast_to(np.repeat(np.arange(len(homes), dtype=np.int16), each), options.shape)
    return Problem(linear, source, target, homes, out_channel, in_channel, spatial, options, home, class_of)


def _needed(nonzero: NDArray[np.bool_], has_tap: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(o, c, class): whether some tap with a weight is in the class."""
    flat = nonzero.reshape(-1, nonzero.shape[2]).astype(np.float32) @ has_tap.astype(np.float32)
    found: NDArray[np.bool_] = (flat > 0).reshape(*nonzero.shape[:2], -1)
    return found


def _spatial_classes(linear: Linear, source: Layout, target: Layout) -> tuple[IntArray, IntArray]:
    """class_of (taps, target entries), and shifts (classes, copies of a position): source slot minus target slot."""
    place = linear.taps[:, target.entry_position]
    inside = place >= 0
    copies = source.position_places[place[inside]]
    shift = np.where(copies >= 0, (copies - np.broadcast_to(target.entry_slot, place.shape)[inside][:, None]), 0)
    shift = np.where(copies >= 0, shift % target.slots, -1)
    shift = np.sort(shift, axis=1)
    rows, inverse = np.unique(shift, axis=0, return_inverse=True)
    class_of = np.full(place.shape, -1, dtype=np.int64)
    class_of[inside] = inverse.reshape(-1)
    return class_of, rows


def cover(problem: Problem, most: int = MAX_OPTIONS) -> Cover | None:
    """Greedy: again and again the diagonal that does most of what is left; ties go to the shift nearest zero. None when
    more than ``most`` diagonals would be needed."""
    options = problem.options
    chosen = options[:, 0] if options.shape[1] == 1 else _greedy(problem, most)
    if chosen is None:
        return None
    used, diagonal = np.unique(chosen, return_inverse=True)
    if len(used) > most:
        return None
    alternative = (options == chosen[:, None]).argmax(axis=1)
    home = problem.home[np.arange(len(options)), alternative].astype(np.int64)
    return Cover(problem.settled(), used, diagonal.reshape(-1), home)


def _greedy(problem: Problem, most: int) -> IntArray | None:
    """(members,) the key chosen for each."""
    keys, option = _numbered(problem.options, problem.target.slots)
    weight = problem.class_sizes[problem.spatial_class].astype(np.float64)
    gains, left = _gains(option, weight, len(keys)), float(weight.sum())
    if np.searchsorted(np.cumsum(np.sort(gains)[::-1]), left) >= most:  # gains only fall
        return None
    starts, owner = _members_of(option, len(keys))
    # Gains stay exact: what a member no longer adds is taken from every diagonal that could have done it.
    free = np.ones(len(option), dtype=np.bool_)
    chosen = np.full(len(option), -1, dtype=np.int64)
    picked = 0
    while left > 0.0:
        k = int(gains.argmax())
        if picked + left / gains[k] > most:  # no later diagonal does more than this one
            return None
        mine = owner[starts[k] : starts[k + 1]]
        mine = mine[free[mine]]
        picked += 1
        chosen[mine], free[mine] = keys[k], False
        left -= gains[k]
        lost = option[mine]
        counted = lost >= 0
        gains -= np.bincount(lost[counted], np.repeat(weight[mine], counted.sum(axis=1)), minlength=len(keys))
    return chosen


def _gains(option: SmallArray, weight: FloatArray, count: int) -> FloatArray:
    """(count,): the weight of the members that each diagonal can do."""
    gains = np.zeros(count)
    for part in _parts(option):
        inside = option[part] >= 0
        each = np.repeat(weight[part], inside.sum(axis=1))
        gains += np.bincount(option[part][inside], weights=each, minlength=count)
    return gains


def _members_of(option: SmallArray, count: int) -> tuple[IntArray, SmallArray]:
    """starts (count + 1,), owner: owner[starts[k]:starts[k + 1]] are the members that diagonal k can do, in order.
    A counting sort by parts, because there may be tens of millions of options."""
    sizes = np.zeros(count, dtype=np.int64)
    for part in _parts(option):
        sizes += np.bincount(option[part][option[part] >= 0], minlength=count)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    owner, following = np.empty(starts[-1], dtype=np.int32), starts[:-1].copy()
    narrow = np.uint16 if count <= 1 << 16 else np.int32  # numpy sorts 16 bits by digits
    for part in _parts(option):
        member, alternative = np.nonzero(option[part] >= 0)
        flat = option[part][member, alternative]
        order = np.argsort(flat.astype(narrow), kind="stable")
        flat, here = flat[order], np.bincount(flat, minlength=count)
        rank = np.arange(len(flat)) - (np.cumsum(here) - here)[flat]
        owner[following[flat] + rank] = member[order] + part.start
        following += here
    return starts, owner


def _parts(options: SmallArray) -> Iterator[slice]:
    """Slices of members with about a million options each."""
    rows = max(1, (1 << 20) // max(1, options.shape[1]))
    for start in range(0, len(options), rows):
        yield slice(start, min(start + rows, len(options)))


def _numbered(options: SmallArray, slots: int) -> tuple[IntArray, SmallArray]:
    """The keys in use, those of small shifts first, and ``options`` as indices of them (-1 stays), sorted by row. A key
    that a member has twice stands once."""
    used = np.zeros(int(options.max(initial=0)) + 2, dtype=np.bool_)
    for part in _parts(options):
        used[options[part]] = True
    present = np.flatnonzero(used[:-1])  # the last place is -1's
    shift = present % slots
    keys = present[np.lexsort((present, np.minimum(shift, slots - shift)))]
    index = np.full(len(used), -1, dtype=np.int32)
    index[keys] = np.arange(len(keys))
    option = np.empty(options.shape, dtype=np.int32)
    for part in _parts(options):
        rows = np.sort(index[options[part]], axis=1)
        rows[:, 1:][rows[:, 1:] == rows[:, :-1]] = -1
        option[part] = rows
    return keys, option


def values(found: Cover) -> NDArray[np.float64]:
    """(diagonals, slots) float64: what multiplies the input rotated by the diagonal's whole shift."""
    problem = found.problem
    target, linear = problem.target, problem.linear
    homes = np.asarray(problem.homes)
    table = np.zeros(len(found.keys) * target.slots)
    tap, entry = np.nonzero(problem.class_of >= 0)
    cls = problem.class_of[tap, entry]
    pair_order = np.argsort(cls, kind="stable")
    tap, entry, cls = tap[pair_order], entry[pair_order], cls[pair_order]
    bounds = np.searchsorted(cls, np.arange(int(cls.max(initial=-1)) + 2))
    member_order = np.argsort(problem.spatial_class, kind="stable")
    member_bounds = np.searchsorted(problem.spatial_class[member_order], np.arange(len(bounds)))
    start = target.channel_slot[problem.out_place] + homes[found.home]
    for k in range(len(bounds) - 1):
        m = member_order[member_bounds[k] : member_bounds[k + 1]]
        t, e = tap[bounds[k] : bounds[k + 1]], entry[bounds[k] : bounds[k + 1]]
        if len(m) == 0 or len(t) == 0:
            continue
        weights = linear.weight[
            target.channel[problem.out_place[m]][:, None], problem.in_channel[m][:, None], t[None, :]
        ]
        place = (start[m][:, None] + target.entry_slot[e][None, :]) % target.slots
        table[found.diagonal[m][:, None] * target.slots + place] = weights
    return table.reshape(len(found.keys), target.slots)
