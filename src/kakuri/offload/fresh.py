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
from kakuri.offload.afresh import Afresh
from kakuri.offload.remote import fault, misfit
from kakuri.offload.session import Session
from kakuri.offload.tiers import Blinding, Tier
from kakuri.offload.transport.frames import Message, Op
from kakuri.offload.verify import Fingerprint, State, probes_for


class FreshProducts(Afresh):
    def __init__(self, session: Session, name: str, tier: Tier, own: Callable[[], State]) -> None:
        super().__init__(session, name, own)
        self._tier = tier
        self._place = session.place_for(self._number)

    def _multiply(self, what: str, a: Tensor, b: Tensor) -> Tensor:
        self._session.require_open()
        tier, counters = self._tier, self._session.counters
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
        session, counters, tier = self._session, self._session.counters, self._tier
        self._attempts += 1
        with counters.timed("blinding"):
            path = (self._number, self._attempts)
            left = tier.left(session.stream("P", *path), len(a))
            q, r = (
                tier.right(session.stream(side, *path), size) for side, size in (("Q", b.shape[0]), ("R", b.shape[1]))
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
