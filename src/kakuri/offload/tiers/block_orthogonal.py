"""T2: block-orthogonal mixing with shield rows.

Q and R (one pair per layer, rotated at least every epoch) and P (fresh for every batch) are products of two rounds,
each a random permutation, random signs and Hadamard transforms of blocks of up to 64 coordinates, so that every
blinded value depends on up to 4,096 plain ones. P also mixes in shield rows: N twice below X, and M, -M below dY, as
large as the values they hide. Then

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

import torch
from torch import Tensor

from kakuri.offload.masks import MaskStream

BLOCK = 64
ROUNDS = 2
SHIELD_SHARE = 16
"""One pair of shield rows for each 2 * 16 rows."""


def hadamard(size: int, dtype: torch.dtype) -> Tensor:
    """(size, size) orthogonal and symmetric; size a power of two."""
    matrix = torch.ones(1, 1, dtype=dtype)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix.mul_(float(size) ** -0.5)


def segments(size: int) -> list[tuple[int, int, int]]:
    """(start, blocks, block) that cover ``size`` coordinates, the blocks powers of two of at most ``BLOCK``."""
    found, start, block = [], 0, BLOCK
    while start < size:
        count = (size - start) // block
        if count:
            found.append((start, count, block))
            start += count * block
        block //= 2
    return found


def _transform(x: Tensor) -> Tensor:
    """Hadamard transforms of the blocks of the last axis, a new tensor."""
    done = torch.empty_like(x)
    for start, count, block in segments(x.shape[1]):
        stop = start + count * block
        part = x[:, start:stop].reshape(-1, block) @ hadamard(block, x.dtype)
        done[:, start:stop] = part.view(len(x), count * block)
    return done


@dataclass(frozen=True)
class _Round:
    index: Tensor
    inverse: Tensor
    sign: Tensor


@dataclass(frozen=True)
class Mixing:
    """An orthogonal matrix as rounds of permutation, signs and block Hadamard transforms."""

    rounds: tuple[_Round, ...]

    @classmethod
    def draw(cls, stream: MaskStream, size: int) -> Mixing:
        rounds = []
        for _ in range(ROUNDS):
            index = torch.from_numpy(stream.permutation(size))
            rounds.append(_Round(index, torch.argsort(index), torch.from_numpy(stream.signs(size))))
        return cls(tuple(rounds))

    def apply(self, x: Tensor) -> Tensor:
        for item in self.rounds:
            x = _transform(x.index_select(1, item.index).mul_(item.sign.to(x.dtype)))
        return x

    def undo(self, x: Tensor) -> Tensor:
        for item in reversed(self.rounds):
            x = _transform(x).mul_(item.sign.to(x.dtype)).index_select(1, item.inverse)
        return x


@dataclass(frozen=True)
class ShieldedRows:
    """mixing: over ``rows`` and 2 * ``shields`` rows. noise_key: of the streams that the shields are drawn from, so
    that the same P meets the same shields when a worker's work is repeated elsewhere."""

    mixing: Mixing
    rows: int
    shields: int
    noise_key: bytes = field(repr=False)

    def _shielded(self, x: Tensor, sign: float) -> Tensor:
        stream = MaskStream(self.noise_key, ("M" if sign < 0 else "N",))
        drawn = torch.from_numpy(stream.gaussian(self.shields * x.shape[1])).to(x.dtype)
        shield = drawn.view(self.shields, x.shape[1]) * x.square().mean().sqrt()
        return self.mixing.apply(torch.cat([x, shield, sign * shield]).T).T

    def apply(self, x: Tensor) -> Tensor:
        return self._shielded(x, 1.0)

    def apply_dual(self, dy: Tensor) -> Tensor:
        return self._shielded(dy, -1.0)

    def undo(self, y: Tensor) -> Tensor:
        return self.mixing.undo(y.T).T[: self.rows]

    undo_dual = undo


class BlockOrthogonal:
    name = "T2"
    mixes = True
    summary = "block-orthogonal mixing with shield rows; protects private initialisation, not a public base model"

    def right(self, stream: MaskStream, size: int) -> Mixing:
        return Mixing.draw(stream, size)

    def left(self, stream: MaskStream, rows: int) -> ShieldedRows:
        shields = -(-rows // (2 * SHIELD_SHARE))
        return ShieldedRows(Mixing.draw(stream, rows + 2 * shields), rows, shields, stream.child_key())
