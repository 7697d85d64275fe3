"""T1, the document's scheme: permutations.

P is a scaled permutation: row p[i] of X becomes row i of P X, times s[i] in [1/2, 2]. Q and R are signed permutations,
hence orthogonal, and commute with every elementwise update.

Guarantees: exact up to two roundings per value for the scales; nothing is mixed, so the worker's sums round as plain
ones.
Does not guarantee: much. The multiset of the magnitudes of every weight column, zeros, the signs' pattern within a
row and the norms of gradients stay visible; whoever has the public model the training started from matches every row
and column at once, and zeros of ReLU link samples. ``kakuri audit`` shows the figures. Use it to hide data from bulk
collection, not from an adversary.
Source: S1, section 3 (MM-obfuscation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kakuri import _blinding
from kakuri.offload.masks import MaskStream
from kakuri.offload.tiers.tier import Right

if TYPE_CHECKING:
    from kakuri._blinding import Look, Numbers


@dataclass(frozen=True)
class SignedColumns:
    """mask: the order and the signs of n columns."""

    mask: _blinding.Reordering

    def apply(self, x: Tensor) -> Tensor:
        return _reorder(x, _unchanged(len(x)), self)

    def undo(self, x: Tensor) -> Tensor:
        return _reorder(x, _unchanged(len(x)), self, undo=True)

    def apply_to_weight(self, w: Tensor, right: Right) -> Tensor:
        return _reorder(w, self.mask, right)

    def undo_on_weight(self, w: Tensor, right: Right) -> Tensor:
        return _reorder(w, self.mask, right, undo=True)


@dataclass(frozen=True)
class ScaledRows:
    """mask: the order and the scales of b rows."""

    mask: _blinding.Reordering

    @property
    def blinded_rows(self) -> int:
        return len(self.mask)

    def apply(self, x: Tensor, right: Right, out: Tensor | None = None, look: Look | None = None) -> Tensor:
        return _reorder(x, self.mask, right, out, look)

    def undo(self, y: Tensor, right: Right, look: Look | None = None) -> Tensor:
        return _reorder(y, self.mask, right, None, look, undo=True)

    def apply_dual(self, dy: Tensor, right: Right, out: Tensor | None = None, look: Look | None = None) -> Tensor:
        return _reorder(dy, self.mask, right, out, look, dual=True)

    def undo_dual(self, dx: Tensor, right: Right, look: Look | None = None) -> Tensor:
        return _reorder(dx, self.mask, right, None, look, undo=True, dual=True)

    def plain(self, sums: Numbers, squares: Numbers) -> tuple[Numbers, Numbers]:
        order = self.mask.order
        plain_sums, plain_squares = np.empty_like(sums), np.empty_like(squares)
        plain_sums[:, order], plain_squares[order] = sums, squares
        return plain_sums, plain_squares


class SignedPermutation:
    name = "T1"
    mixes = False
    summary = "permutations, as the document; broken by anyone with the public base model"

    def right(self, stream: MaskStream, size: int) -> SignedColumns:
        return SignedColumns(_blinding.Reordering(stream.words(size)))

    def left(self, stream: MaskStream, rows: int) -> ScaledRows:
        words = stream.words(rows)
        return ScaledRows(_blinding.Reordering(words, np.exp2(2.0 * stream.uniform(rows) - 1.0)))


def _reorder(
    x: Tensor,
    rows: _blinding.Reordering,
    right: Right,
    out: Tensor | None = None,
    look: Look | None = None,
    *,
    undo: bool = False,
    dual: bool = False,
) -> Tensor:
    assert isinstance(right, SignedColumns)
    x = x.detach().contiguous()
    out = torch.empty_like(x) if out is None else out
    threads = torch.get_num_threads()
    _blinding.reorder(x.numpy(), rows, right.mask, out.numpy(), undo=undo, dual=dual, look=look, threads=threads)
    return out


def _unchanged(rows: int) -> _blinding.Reordering:
    """Every row where it is: the largest word leaves its coordinate in place."""
    return _blinding.Reordering(np.full(rows, np.iinfo(np.uint64).max), np.ones(rows))
