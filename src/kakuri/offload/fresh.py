"""The three products of a layer, each blinded afresh: what training costs without key shift.

Purpose: the baseline that shows what key shift saves. Y = X W, dX = dY W^T and dW = X^T dY are three unrelated
products for the worker, each under masks of its own: six blindings and three unblindings per layer and step, and the
weights cross twice. The master keeps and updates the weights.
Guarantees: every product is checked before it is used, and computed elsewhere when it is wrong.
Does not guarantee: speed; use it to measure, or where workers must not see two products of the same matrix.
Source: S1, section 3: the encryption work that key shift halves.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from kakuri.errors import KakuriError
from kakuri.offload.remote import Operand, Ticket, fault, misfit
from kakuri.offload.session import Session
from kakuri.offload.tiers import Blinding
from kakuri.offload.transport.frames import Message, Op
from kakuri.offload.verify import Fingerprint, State, probes_for


class FreshProducts:
    """own: a way to the weights, which stay in the master."""

    journal_bytes = 0

    def __init__(self, session: Session, name: str, own: Callable[[], State]) -> None:
        self.name = name
        self._session = session
        self._own = own
        self._number = session.pool.next_number()
        self._place = session.place_for(self._number)
        self._products = 0
        session.layers.append(self)

    def forward(self, x: Tensor, keep: bool) -> tuple[Tensor, Ticket | None]:
        """x (b, n) -> Y (b, m)."""
        return self._multiply("forward", x, self._own().w), Ticket(
            0, None, Operand(x, Fingerprint.look), 0
        ) if keep else None

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

    def _multiply(self, what: str, a: Tensor, b: Tensor) -> Tensor:
        """a (p, q), b (q, r) -> a b."""
        self._session.require_open()
        tier, counters = self._session.settings.tier, self._session.counters
        probes = probes_for(b.shape[0], b.shape[1], b.dtype, tier.mixes)
        while True:
            if self._place.quarantined:
                self._place = self._session.place_for(self._number)
            try:
                result = self._blinded(a, b)
                with counters.timed("verification"):
                    counters.checks += 1
                    fingerprint = Fingerprint(State(b), probes=probes, mixes=tier.mixes)
                    if fingerprint.output_is_right(fingerprint.look(a), result):
                        return result
                reason = "the result is wrong"
            except KakuriError as error:
                reason = fault(error)
            self._session.incident(self._place, self.name, what, reason)

    def _blinded(self, a: Tensor, b: Tensor) -> Tensor:
        session, counters = self._session, self._session.counters
        self._products += 1
        with counters.timed("blinding"):
            path = (self._number, self._products)
            left = session.settings.tier.left(session.stream("P", *path), len(a))
            q, r = (
                session.settings.tier.right(session.stream(side, *path), size)
                for side, size in (("Q", b.shape[0]), ("R", b.shape[1]))
            )
            sent = (left.apply(a, q), Blinding(q, r).weight(b))
        counters.blindings += 2
        with counters.timed("waiting"):
            answer = self._place.ask(Message(Op.MULTIPLY, tensors=sent))
        if len(answer.tensors) != 1 or answer.tensors[0].shape != (len(sent[0]), b.shape[1]):
            raise misfit(self._place)
        if not self._place.trusted:
            counters.moved_elements += sum(tensor.numel() for tensor in (*sent, answer.tensors[0]))
            counters.offloaded_flops += 2 * a.numel() * b.shape[1]
        counters.unblindings += 1
        with counters.timed("blinding"):
            return left.undo(answer.tensors[0], r)
