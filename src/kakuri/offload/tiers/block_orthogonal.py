"""T2: block-orthogonal mixing with shield rows.

Q and R (one pair per layer, rotated at least every epoch) and P (fresh for every batch) are products of two rounds,
each a random permutation, random signs and Hadamard transforms of blocks of up to 64 coordinates, so that every
blinded value depends on up to 4,096 plain ones. P also mixes in shield rows: N twice below X, and M, -M below dY,
uniform and as large in mean square as the values they hide. Then

    X'^T dY' = [X; N; N]^T P^T P [dY; M; -M] = X^T dY + N^T M - N^T M = dW, blinded by Q and R,

so that gradients stay exact while the Gram matrix X' X'^T no longer is that of the samples.

Guarantees: orthogonal up to rounding; no plain value, zero or sign pattern survives in a blinded tensor.
Does not guarantee: secrecy of updates to a public base model: W'^T W' and its like are invariants of the mixing, and
who holds W recovers Q and R from them. The planner therefore asks where the weights come from. Singular values of X,
W and dY (of X and dY together with the shields), norms, and the learning rate are visible.
Source: Ailon and Chazelle 2006 (randomised Hadamard transforms); the cancellation above is arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kakuri import _blinding
from kakuri.offload.masks import MaskStream
from kakuri.offload.tiers.tier import Right

if TYPE_CHECKING:
    from kakuri._blinding import Look, Numbers

SHIELD_SHARE = 16
"""One pair of shield rows for each 2 * 16 rows."""


@dataclass(frozen=True)
class MixedColumns:
    """mask: over n columns."""

    mask: _blinding.Mixing

    def apply(self, x: Tensor) -> Tensor:
        return self._columns(x, undo=False)

    def undo(self, x: Tensor) -> Tensor:
        return self._columns(x, undo=True)

    def apply_to_weight(self, w: Tensor, right: Right) -> Tensor:
        return _mix(w, self.mask, right)

    def undo_on_weight(self, w: Tensor, right: Right) -> Tensor:
        return _undo(w, self.mask, right, len(w))

    def _columns(self, x: Tensor, *, undo: bool) -> Tensor:
        x = x.detach().contiguous()
        out = torch.empty_like(x)
        self.mask.columns(x.numpy(), out.numpy(), undo=undo, threads=torch.get_num_threads())
        return out


@dataclass(frozen=True)
class ShieldedRows:
    """mask: over ``rows`` and 2 * ``shields`` rows. noise_key: of the streams that the shields are drawn from, so
    that the same P meets the same shields when a worker's work is repeated elsewhere."""

    mask: _blinding.Mixing
    rows: int
    shields: int
    noise_key: bytes = field(repr=False)

    @property
    def blinded_rows(self) -> int:
        return len(self.mask)

    def apply(self, x: Tensor, right: Right, out: Tensor | None = None, look: Look | None = None) -> Tensor:
        return self._hide(x, right, out, 1.0, look)

    def undo(self, y: Tensor, right: Right, look: Look | None = None) -> Tensor:
        return _undo(y, self.mask, right, self.rows, look)

    def apply_dual(self, dy: Tensor, right: Right, out: Tensor | None = None, look: Look | None = None) -> Tensor:
        return self._hide(dy, right, out, -1.0, look)

    undo_dual = undo

    def plain(self, sums: Numbers, squares: Numbers) -> tuple[Numbers, Numbers]:
        found = np.empty_like(sums)
        self.mask.columns(sums, found, undo=True, threads=torch.get_num_threads())
        return found[:, : self.rows].copy(), np.full(self.rows, squares.mean(), squares.dtype)

    def _hide(self, x: Tensor, right: Right, out: Tensor | None, sign: float, look: Look | None) -> Tensor:
        """Shields are noise of the mean square of x, and the same times ``sign``."""
        count = self.shields * x.shape[1]
        words = MaskStream(self.noise_key, ("M" if sign < 0 else "N",)).words(-(-count // 2)).view(np.int32)
        rms = float(torch.linalg.vector_norm(x)) / max(x.numel(), 1) ** 0.5
        noise = words[:count].reshape(self.shields, x.shape[1])
        return _mix(x, self.mask, right, out, look, shields=noise, scale=3.0**0.5 * 2.0**-31 * rms, sign=sign)


class BlockOrthogonal:
    name = "T2"
    mixes = True
    summary = "block-orthogonal mixing with shield rows; protects private initialisation, not a public base model"

    def right(self, stream: MaskStream, size: int) -> MixedColumns:
        return MixedColumns(_blinding.Mixing(stream.words(2 * size)))

    def left(self, stream: MaskStream, rows: int) -> ShieldedRows:
        shields = -(-rows // (2 * SHIELD_SHARE))
        mask = _blinding.Mixing(stream.words(2 * (rows + 2 * shields)))
        return ShieldedRows(mask, rows, shields, stream.child_key())


def _mix(
    x: Tensor,
    rows: _blinding.Mixing,
    right: Right,
    out: Tensor | None = None,
    look: Look | None = None,
    *,
    shields: NDArray[np.int32] | None = None,
    scale: float = 0.0,
    sign: float = 1.0,
) -> Tensor:
    assert isinstance(right, MixedColumns)
    x = x.detach().contiguous()
    out = x.new_empty(len(rows), x.shape[1]) if out is None else out
    threads, target = torch.get_num_threads(), out.numpy()
    _blinding.mix(x.numpy(), rows, right.mask, target, shields, scale=scale, sign=sign, look=look, threads=threads)
    return out


def _undo(y: Tensor, rows: _blinding.Mixing, right: Right, kept: int, look: Look | None = None) -> Tensor:
    assert isinstance(right, MixedColumns)
    out = y.new_empty(kept, y.shape[1])
    threads = torch.get_num_threads()
    _blinding.undo_mix(y.contiguous().numpy(), rows, right.mask, out.numpy(), look=look, threads=threads)
    return out
