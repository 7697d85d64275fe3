"""T1, the document's scheme: permutations.

P is a scaled permutation: row p[i] of X becomes row i of P X, times s[i] in [1/2, 2]. Q and R are signed permutations,
hence orthogonal, and commute with every elementwise update.

Guarantees: exact up to one rounding per value for the scales; nothing is mixed, so the worker's sums round as plain
ones.
Does not guarantee: much. The multiset of the magnitudes of every weight column, zeros, the signs' pattern within a
row and the norms of gradients stay visible; whoever has the public model the training started from matches every row
and column at once, and zeros of ReLU link samples. ``kakuri audit`` shows the figures. Use it to hide data from bulk
collection, not from an adversary.
Source: S1, section 3 (MM-obfuscation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kakuri.offload.masks import MaskStream


@dataclass(frozen=True)
class SignedColumns:
    """index (n,), sign (n,): column j of x Q^-1 is column index[j] of x, times sign[j]."""

    index: Tensor
    inverse: Tensor
    sign: Tensor

    def apply(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.index).mul_(self.sign.to(x.dtype))

    def undo(self, x: Tensor) -> Tensor:
        return (x * self.sign.to(x.dtype)).index_select(1, self.inverse)


@dataclass(frozen=True)
class ScaledRows:
    """index (b,), scale (b, 1): row i of P x is row index[i] of x, times scale[i]."""

    index: Tensor
    inverse: Tensor
    scale: Tensor

    def apply(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.index).mul_(self.scale.to(x.dtype))

    def undo(self, y: Tensor) -> Tensor:
        return (y / self.scale.to(y.dtype)).index_select(0, self.inverse)

    def apply_dual(self, dy: Tensor) -> Tensor:
        return dy.index_select(0, self.index).div_(self.scale.to(dy.dtype))

    def undo_dual(self, dx: Tensor) -> Tensor:
        return (dx * self.scale.to(dx.dtype)).index_select(0, self.inverse)


class SignedPermutation:
    name = "T1"
    mixes = False
    summary = "permutations, as the document; broken by anyone with the public base model"

    def right(self, stream: MaskStream, size: int) -> SignedColumns:
        index = torch.from_numpy(stream.permutation(size))
        return SignedColumns(index, torch.argsort(index), torch.from_numpy(stream.signs(size)))

    def left(self, stream: MaskStream, rows: int) -> ScaledRows:
        index = torch.from_numpy(stream.permutation(rows))
        scale = torch.from_numpy(np.exp2(2.0 * stream.uniform(rows) - 1.0))
        return ScaledRows(index, torch.argsort(index), scale[:, None])
