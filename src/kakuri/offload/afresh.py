"""A layer whose three products are sent afresh each time: nothing of it stays with a worker.

Purpose: what ``fresh`` (blinded by matrices) and ``shared`` (additive shares) have in common. Y = X W, dX = dY W^T and
dW = X^T dY; the master keeps and updates the weights.
"""

# ruff: noqa: B027  (that a layer has nothing to do is what these methods say)
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from kakuri.offload.remote import Operand, Ticket
from kakuri.offload.session import Session
from kakuri.offload.verify import State


class Afresh(ABC):
    """own: a way to the weights, which stay in the master. A subclass says how one product is made."""

    journal_bytes = 0

    def __init__(self, session: Session, name: str, own: Callable[[], State]) -> None:
        self.name = name
        self._session = session
        self._own = own
        self._number = session.pool.next_number()
        self._attempts = 0  # at a product, over the layer's life: no stream of masks is drawn twice
        session.layers.append(self)

    def forward(self, x: Tensor, keep: bool) -> tuple[Tensor, Ticket | None]:
        """x (b, n) -> Y (b, m)."""
        ticket = Ticket(0, None, Operand(x, len(x)), 0) if keep else None
        return self._multiply("forward", x, self._own().w), ticket

    def backward(
        self, ticket: Ticket, dy: Tensor, *, wants_input: bool, wants_gradient: bool = True
    ) -> tuple[Tensor | None, Tensor | None]:
        """dy (b, m) -> dX (b, n) and G (n, m) where they are wanted."""
        dx = self._multiply("backward", dy, self._own().w.T) if wants_input else None
        return dx, self._multiply("gradient", ticket.x.values.T, dy) if wants_gradient else None

    def load(self, state: State) -> None:
        """Nothing to do: weights are asked for when they are needed."""

    def rotate(self) -> None:
        """Nothing to do: no key lives longer than a product."""

    def snapshot(self) -> None:
        """Nothing to do: no worker holds a weight."""

    def drop(self) -> None:
        """Nothing to do: no worker holds a weight."""

    @abstractmethod
    def _multiply(self, what: str, a: Tensor, b: Tensor) -> Tensor:
        """a (p, q), b (q, r) -> a b, checked. what: for the audit log. Raises KK-O33 when the session is closed."""
