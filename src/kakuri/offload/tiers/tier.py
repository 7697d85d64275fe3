"""What every tier does with a product, and what a new one has to provide.

    forward    X' = P X Q^-1      W' = Q W R^-1     Y' = X' W' = P Y R^-1            Y = P^-1 Y' R
    backward   dY' = P^-T dY R^T  dX' = dY' W'^T = P^-T dX Q^T                       dX = P^T dX' Q
    update     dW' = X'^T dY' = Q^-T dW R^T

X (b, n), W (n, m), Y (b, m). The worker keeps X' and W' from the forward pass, so that the backward pass blinds dY
alone ("key shift"): two blindings and two unblindings per layer and step. Sent afresh, the three products Y = X W,
dX = dY W^T, dW = X^T dY would take six and three. For orthogonal Q and R, Q^-T dW R^T = Q dW R^-1 is blinded as W
is, so that W' - lr dW' = Q (W - lr dW) R^-1: stochastic gradient descent runs on the worker and W is never blinded
again.

Purpose: ``Left`` hides rows with P, fresh for every batch; ``Right`` is an orthogonal Q or R, one pair per layer.
Guarantees: each object undoes itself up to rounding; all Rights are orthogonal.
Does not guarantee: secrecy by itself; each tier says what it hides, and ``kakuri audit`` measures it.
Source: S1, section 3 (MM-obfuscation and key shift); the arithmetic above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from kakuri.offload.masks import MaskStream

if TYPE_CHECKING:
    from kakuri._blinding import Look, Numbers


class Right(Protocol):
    """An orthogonal matrix Q of size n."""

    def apply(self, x: Tensor) -> Tensor:
        """x (r, n) -> x Q^-1."""

    def undo(self, x: Tensor) -> Tensor:
        """x (r, n) -> x Q."""

    def apply_to_weight(self, w: Tensor, right: Right) -> Tensor:
        """w (n, m) -> Q w R^-1, with R of the same tier."""

    def undo_on_weight(self, w: Tensor, right: Right) -> Tensor:
        """w (n, m) -> Q^-1 w R."""


class Left(Protocol):
    """An invertible matrix P over the b rows of a batch and whatever rows the tier adds.

    Every method also applies ``right``, which is of the same tier, to the columns: both sides in one call, so that
    ``out``, which may lie in shared memory, never holds what is blinded on one side only. look: what verification wants
    to see, while it is in the cache, of plain columns in the worker's rows: of x in their order or mixed with those
    added, without scales, and of what is undone the same. It has ``blinded_rows`` rows.
    """

    @property
    def blinded_rows(self) -> int:
        """b and the added rows."""

    def apply(self, x: Tensor, right: Right, out: Tensor | None = None, look: Look | None = None) -> Tensor:
        """x (b, n) -> P x Q^-1."""

    def undo(self, y: Tensor, right: Right, look: Look | None = None) -> Tensor:
        """y -> the b rows of P^-1 y R."""

    def apply_dual(self, dy: Tensor, right: Right, out: Tensor | None = None, look: Look | None = None) -> Tensor:
        """dy (b, m) -> P^-T dy R^-1."""

    def undo_dual(self, dx: Tensor, right: Right, look: Look | None = None) -> Tensor:
        """dx -> the b rows of P^T dx Q."""

    def plain(self, sums: Numbers, squares: Numbers) -> tuple[Numbers, Numbers]:
        """What a look found of the blinded rows, (k, blinded rows) linear in them and (blinded rows,) their squares,
        for the b rows; squares on average where they are mixed."""


class Tier(Protocol):
    """A scheme. mixes: a blinded row or column depends on several plain ones, so that rounding spreads over them."""

    @property
    def name(self) -> str: ...
    @property
    def mixes(self) -> bool: ...
    @property
    def summary(self) -> str: ...
    def right(self, stream: MaskStream, size: int) -> Right: ...
    def left(self, stream: MaskStream, rows: int) -> Left: ...


@dataclass(frozen=True)
class Blinding:
    """Q and R of one layer between two rotations."""

    q: Right
    r: Right

    def weight(self, w: Tensor) -> Tensor:
        """W (n, m) -> Q W R^-1."""
        return self.q.apply_to_weight(w, self.r)

    def unweight(self, w: Tensor) -> Tensor:
        """W' -> W."""
        return self.q.undo_on_weight(w, self.r)
