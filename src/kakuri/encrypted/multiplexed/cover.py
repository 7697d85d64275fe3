"""Which diagonals do a linear layer's products, and which product goes to which.

Purpose: a greedy cover of the problem that ``problem.pose`` states picks few diagonals.
Guarantees: every product is assigned to exactly one chosen diagonal.
Does not guarantee: the minimum (set cover is NP-hard); ``Problem.lower_bound`` says how far it can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kakuri.encrypted.multiplexed.layout import IntArray
from kakuri.encrypted.multiplexed.problem import MAX_OPTIONS, Problem, distinct

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Cover:
    """keys: (diagonals,) sorted, pair of ciphertexts * turn + shift. diagonal, home: (groups, classes) the choice for
    the products of each, -1 where there are none."""

    problem: Problem
    keys: IntArray
    diagonal: IntArray
    home: IntArray

    def split_keys(self) -> tuple[IntArray, IntArray, IntArray]:
        """(output ciphertext, input ciphertext, shift) of every diagonal."""
        inputs = self.problem.source.ciphertexts
        pair, shift = np.divmod(self.keys, self.problem.turn)
        return pair // inputs, pair % inputs, shift


def cover(problem: Problem, most: int = MAX_OPTIONS) -> Cover | None:
    """Greedy: again and again the diagonal that does most of what is left; ties go to the shift nearest zero. None when
    more than ``most`` diagonals would be needed."""
    if problem.pair.shape[1] * problem.shifts.shape[1] == 1:
        return _only(problem, most)
    field = _Field.of(problem)
    left = float(problem.work.sum())
    if np.searchsorted(np.cumsum(np.sort(field.gains)[::-1]), left) >= most:  # gains only fall
        return None
    diagonal, home = np.full(problem.work.shape, -1), np.full(problem.work.shape, -1)
    keys: list[int] = []
    while left > 0.0:
        best = int(field.gains.argmax())
        if len(keys) + left / field.gains[best] > most:  # no later diagonal does more than this one
            return None
        keys.append(int(field.names[best]))
        group, kind, homes = field.take(keys[-1])
        left -= problem.work[group, kind].sum()
        diagonal[group, kind], home[group, kind] = len(keys) - 1, homes
    order = np.argsort(keys)
    rank = np.empty(len(keys) + 1, dtype=np.int64)
    rank[order], rank[-1] = np.arange(len(keys)), -1
    return Cover(problem, np.asarray(keys)[order], rank[diagonal], home)


def _only(problem: Problem, most: int) -> Cover | None:
    """The cover when there is no choice."""
    rows = group, kind = np.nonzero(problem.work)
    total = problem.distance[group, 0] + problem.shifts[kind, 0]
    keys, index = np.unique(problem.pair[group, 0] * problem.turn + total % problem.turn, return_inverse=True)
    if len(keys) > most:
        return None
    diagonal, home = np.full(problem.work.shape, -1), np.full(problem.work.shape, -1)
    turns = total // problem.turn if problem.cyclic else 0
    diagonal[rows], home[rows] = index, (problem.home[group, 0] + turns) % len(problem.homes)
    return Cover(problem, keys, diagonal, home)


@dataclass
class _Field:
    """What every diagonal could still do.

    names: (diagonals,) those that can do something, pair * turn + shift, shifts near zero first. gains: (diagonals,)
    products; what one could do in two ways counts twice. index: name -> diagonal. free: (groups, classes) not done yet.
    owner[starts[k]:starts[k + 1]]: the (group, r) of ``Problem`` at pair and distance k. shifts: those of ``Problem``
    modulo turn.
    """

    problem: Problem
    names: IntArray
    gains: FloatArray
    index: IntArray
    free: NDArray[np.bool_]
    owner: IntArray
    starts: IntArray
    shifts: IntArray

    @classmethod
    def of(cls, problem: Problem) -> _Field:
        turn, pairs = problem.turn, problem.pairs
        real = np.flatnonzero(problem.pair.reshape(-1) >= 0)
        at = (problem.pair * turn + problem.distance).reshape(-1)[real]
        starts = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=pairs * turn)), [len(at)]])
        gains = _gains(problem, at, real // problem.pair.shape[1])
        names = np.flatnonzero(gains)
        shift = names % turn
        names = names[np.lexsort((names, np.minimum(shift, problem.target.slots - shift)))]
        index = np.zeros(len(gains), dtype=np.int64)
        index[names] = np.arange(len(names))
        shifts = np.where(problem.shifts < 0, -1, problem.shifts % turn)
        owner = real[np.argsort(at, kind="stable")]
        return cls(problem, names, gains[names], index, problem.work > 0, owner, starts, shifts)

    def take(self, name: int) -> tuple[IntArray, IntArray, IntArray]:
        """Group, class and home of all that diagonal ``name`` can do and nobody did, which is done now."""
        problem, turn = self.problem, self.problem.turn
        pair, shift = divmod(name, turn)
        distance = shift - self.shifts
        distance[distance < 0] += turn
        at = np.where(self.shifts < 0, len(self.index), pair * turn + distance).reshape(-1)
        first = self.starts[at]
        counts = self.starts[at + 1] - first
        asked = np.repeat(np.arange(len(at)), counts)
        entry = self.owner[np.arange(len(asked)) + np.repeat(first - np.cumsum(counts) + counts, counts)]
        (group, r), (kind, c) = np.divmod(entry, problem.pair.shape[1]), np.divmod(asked, self.shifts.shape[1])
        mine = np.flatnonzero(self.free[group, kind])
        group, kind, r, c = group[mine], kind[mine], r[mine], c[mine]
        once = np.unique(group * self.free.shape[1] + kind, return_index=True)[1]
        group, kind, r, c = group[once], kind[once], r[once], c[once]
        self.free[group, kind] = False
        self._lose(group, kind)
        home = problem.home[group, r]
        if problem.cyclic:
            home = (home + (problem.distance[group, r] + problem.shifts[kind, c]) // turn) % len(problem.homes)
        return group, kind, home

    def _lose(self, group: IntArray, kind: IntArray) -> None:
        """Gains stay exact: what is done is taken from every diagonal that could have done it."""
        problem, turn = self.problem, self.problem.turn
        pair, shifts = problem.pair[group], self.shifts[kind]
        place = problem.distance[group][:, :, None] + shifts[:, None, :]
        place[place >= turn] -= turn
        place += (pair * turn)[:, :, None]
        lost = np.repeat(problem.work[group, kind].astype(np.float64), pair.shape[1] * shifts.shape[1])
        if pair.min() < 0 or shifts.min() < 0:
            unreal = (pair < 0)[:, :, None] | (shifts < 0)[:, None, :]
            lost[unreal.reshape(-1)], place[unreal] = 0.0, 0
        np.subtract.at(self.gains, self.index[place.reshape(-1)], lost)


def _gains(problem: Problem, at: IntArray, group: IntArray) -> FloatArray:
    """(pairs * turn,) products that each diagonal could do at first: convolutions of where groups reach with the shifts
    of classes, one for all classes that hold the same pairs. at, group: of everything reached."""
    sizes = np.maximum(1, problem.sizes)
    index, members = distinct(np.ascontiguousarray((problem.work // sizes).T))
    turn = problem.turn
    total = np.zeros((problem.pairs, turn // 2 + 1), dtype=np.complex128)
    for k, count in enumerate(members):
        here = np.bincount(at, count[group], minlength=problem.pairs * turn).reshape(-1, turn)
        shifts = problem.shifts[index == k]
        times = np.repeat(problem.sizes[index == k], shifts.shape[1])[shifts.reshape(-1) >= 0]
        moved = np.bincount(shifts[shifts >= 0] % turn, times, minlength=turn)
        total += np.fft.rfft(here, axis=1) * np.fft.rfft(moved)
    return np.rint(np.fft.irfft(total, n=turn, axis=1)).reshape(-1)


def values(found: Cover) -> NDArray[np.float64]:
    """(diagonals, slots) float64: what multiplies the input rotated by the diagonal's whole shift."""
    problem = found.problem
    target, linear = problem.target, problem.linear
    homes = np.asarray(problem.homes)
    table = np.zeros(len(found.keys) * target.slots)
    tap, entry = np.nonzero(problem.class_of >= 0)
    kind = problem.class_of[tap, entry]
    order = np.argsort(kind, kind="stable")
    tap, entry = tap[order], entry[order]
    bounds = np.searchsorted(kind[order], np.arange(problem.work.shape[1] + 1))
    for k, (start, stop) in enumerate(pairwise(bounds)):
        diagonal = found.diagonal[problem.group, k]
        place, in_channel = np.nonzero(diagonal >= 0)
        diagonal = diagonal[place, in_channel]
        offset = target.channel_slot[place] + homes[found.home[problem.group[place, in_channel], k]]
        t, e = tap[start:stop], entry[start:stop]
        weights = linear.weight[target.channel[place][:, None], in_channel[:, None], t[None, :]]
        slot = (offset[:, None] + target.entry_slot[e][None, :]) % target.slots
        table[diagonal[:, None] * target.slots + slot] = weights
    return table.reshape(len(found.keys), target.slots)
