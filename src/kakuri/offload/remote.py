"""One weight matrix that lives blinded on a worker: its products, its update, and what happens when the worker fails.

Purpose: Y = X W, dX = dY W^T and W's update with two blindings and two unblindings per step (see ``tiers.tier``).
Guarantees: every product is checked before it is used; a wrong or missing one is computed again elsewhere from verified
weights, under fresh probes; when weights cannot be had back, the training stops with KK-O35 instead of going on with
wrong ones.
Does not guarantee: progress against a host that kills every worker; then the master computes, slowly.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from kakuri.errors import KakuriError
from kakuri.offload.journal import Journal
from kakuri.offload.places import Place
from kakuri.offload.session import Session
from kakuri.offload.sgd import SgdStep
from kakuri.offload.tiers import Blinding, Left, Right, Tier
from kakuri.offload.transport.frames import Message, Op
from kakuri.offload.verify import Crossed, Fingerprint, Seen, State, pass_over, probes_for, takes_in

if TYPE_CHECKING:
    from kakuri._blinding import Look
    from kakuri.offload.verify import See

    _Apply = Callable[[Tensor, Right, Tensor, Look | None], Tensor]
    _Undo = Callable[[Tensor, Right, Look | None], Tensor]
    _AskAnswer = Callable[[int, torch.dtype | None], Look]

T = TypeVar("T")
_MOST_FORGOTTEN = 200  # tickets named in one message
_SMALL_GRADIENT = 0.05  # of what a batch moves one way
_WORKER_FAULTS = frozenset({"KK-O20", "KK-O21", "KK-O22"})


class Operand:
    """X, or dY when ``across`` is its X, of one product, and what the fingerprint of the day saw of it. rows: of what
    is sent of it. see: a way to look at it as blinding does, and at the same in another precision."""

    def __init__(self, values: Tensor, rows: int, see: See = pass_over, across: Operand | None = None) -> None:
        self.values = values
        self.see = see
        self._rows = rows
        self._across = across
        self._seen: Seen | None = None

    def ask(self, fingerprint: Fingerprint) -> Look | None:
        """The look that is still to be taken, None when it was."""
        if self._seen is not None and self._seen.by is fingerprint:
            return None
        return fingerprint.ask(self._rows, back=self._across is not None, other=self._other(fingerprint))

    def took(self, fingerprint: Fingerprint, look: Look) -> None:
        back, other = self._across is not None, self._other(fingerprint)
        self._seen = fingerprint.seen(self.values, look, self.see, back=back, other=other)

    def seen_by(self, fingerprint: Fingerprint) -> Seen:
        look = self.ask(fingerprint)
        if look is not None:
            self.see(self.values, look)
            self.took(fingerprint, look)
        assert self._seen is not None  # it was just taken
        return self._seen

    def _other(self, fingerprint: Fingerprint) -> Seen | None:
        return None if self._across is None else self._across.seen_by(fingerprint)


@dataclass(frozen=True)
class _Answer:
    """A plain answer and what was seen of it."""

    values: Tensor
    look: Look


@dataclass(eq=False)
class Ticket:
    """A forward pass whose X' the worker keeps. x (b, n); left: its P; generation: of the load that knows it."""

    number: int
    left: Left | None
    x: Operand
    generation: int


class Remote:
    """w (n, m), v, g in ``state``: what the layer starts from. own: where the master itself keeps the weights, a way to
    them; None when they are updated on the worker."""

    def __init__(
        self, session: Session, name: str, tier: Tier, state: State, own: Callable[[], State] | None = None
    ) -> None:
        self.name = name
        self._tier = tier
        self._session = session
        self._number = session.pool.next_number()
        self._shape = (state.w.shape[0], state.w.shape[1])
        self._dtype = state.w.dtype
        self._own = own
        self._place = session.place_for(self._number)
        self._rotation = self._batches = self._tickets = self._generation = 0
        self._forgotten: list[int] = []
        self._journal = Journal(state) if own is None and session.settings.journal_bytes else None
        self._blinding = self._new_blinding()
        self._start_somewhere(state)
        session.layers.append(self)

    @property
    def journal_bytes(self) -> int:
        return self._journal.nbytes if self._journal else 0

    @property
    def number(self) -> int:
        """The layer's name towards workers."""
        return self._number

    def reveal(self, blinded: Tensor, rows: int, back: int) -> tuple[Tensor, Tensor]:
        """For audits: the ``rows`` rows that a blinded input of ``back`` batches ago hides, and per row of it which
        of them weighs most."""
        left = self._left(self._batches - back, rows)
        aside = self._tier.right(self._session.stream("audit", self._number), rows)
        weights = aside.undo(left.apply(torch.eye(rows, dtype=self._dtype), aside))  # P
        return left.undo(blinded, self._blinding.q), weights.abs().argmax(dim=1)

    def weight_origins(self) -> Tensor:
        """For audits: per row of W' the row of W that weighs most."""
        turned = self._blinding.q.apply(torch.eye(self._shape[0], dtype=self._dtype)).T  # Q
        return turned.abs().argmax(dim=1)

    def forward(self, x: Tensor, keep: bool) -> tuple[Tensor, Ticket | None]:
        """x (b, n) -> Y (b, m), and with ``keep`` the ticket of its backward pass."""
        self._session.require_open()
        self._batches += 1
        left = self._left(self._batches, len(x))
        operand = Operand(x, left.blinded_rows, lambda values, look: left.apply(values, self._blinding.q, None, look))
        ticket = self._new_ticket(left, operand) if keep else None

        def product() -> _Answer:
            blinded = self._blinded(left.apply, operand, self._blinding.q, left)
            forgotten, self._forgotten[:] = self._forgotten[:_MOST_FORGOTTEN], self._forgotten[_MOST_FORGOTTEN:]
            flags = (ticket.number if ticket else -1, 1, *forgotten)
            (result,) = self._ask(Op.FORWARD, flags, (blinded,), wants=1)
            self._moved(blinded, result)
            if ticket is not None:
                ticket.generation = self._generation
            self._computed(len(x))
            shape = len(blinded), self._shape[1]
            return self._plain(left.undo, result, shape, self._blinding.r, self._fingerprint.ask_output)

        def right(y: _Answer) -> bool:
            return self._fingerprint.output_is_right(operand.seen_by(self._fingerprint), y.values, y.look)

        return self._until_right("forward", product, right).values, ticket

    def backward(
        self, ticket: Ticket, dy: Tensor, *, accumulate: bool = False, wants_input: bool, wants_gradient: bool = False
    ) -> tuple[Tensor | None, Tensor | None]:
        """dy (b, m) -> dX (b, n) and G (n, m) where they are wanted; the worker's G becomes or grows by X^T dY."""
        self._session.require_open()
        left = ticket.left
        assert left is not None
        crossed: Crossed | None = None

        def see(values: Tensor, look: Look) -> None:
            left.apply_dual(values, self._blinding.r, None, look)

        operand = Operand(dy, left.blinded_rows, see, ticket.x)
        x = None if self._gradient_is_small(len(dy)) or wants_gradient else ticket.x.values

        def product() -> tuple[_Answer | None, Tensor | None]:
            nonlocal crossed
            self._ensure_kept(ticket, left)
            blinded = self._blinded(left.apply_dual, operand, self._blinding.r, left)
            flags = (ticket.number, int(accumulate), int(wants_input))

            def cross() -> None:
                nonlocal crossed
                seen, seen_back = ticket.x.seen_by(self._fingerprint), operand.seen_by(self._fingerprint)
                crossed = self._fingerprint.crossed(x, dy, seen, seen_back, see_back=operand.see, plain=left.plain)

            found = self._ask(Op.BACKWARD, flags, (blinded,), wants=int(wants_input), meanwhile=cross)
            self._moved(blinded, *found)
            self._computed(len(dy) * (1 + int(wants_input)))
            dx = None
            if found:
                shape = len(blinded), self._shape[0]
                ask = self._fingerprint.ask_input_gradient
                dx = self._plain(left.undo_dual, found[0], shape, self._blinding.q, ask)
            return dx, self._fetch_gradient() if wants_gradient else None

        def right(found: tuple[_Answer | None, Tensor | None]) -> bool:
            dx, gradient = found
            seen_back = operand.seen_by(self._fingerprint)
            if dx is not None and not self._fingerprint.input_gradient_is_right(seen_back, dx.values, dx.look):
                return False
            assert crossed is not None
            self._fingerprint.add_gradient(crossed, accumulate=accumulate)
            return not wants_gradient or self._gradient_agrees(gradient)

        dx, gradient = self._until_right("backward", product, right, gradient_matters=accumulate)
        if self._journal is not None:
            self._journal.add_gradient(ticket.x.values, dy, accumulate)
            self._session.bound_journals()
        return None if dx is None else dx.values, gradient

    def step(self, step: SgdStep) -> None:
        """The worker updates W' as ``sgd.update`` does, and answers with the gradient it took where that has to be
        seen."""
        self._session.require_open()

        def action() -> Tensor | None:
            wants = int(self._fingerprint.wants_gradient)
            answer = self._ask(Op.STEP, (wants, *step.flags()), (), step.floats(), wants=wants)
            self._moved(*answer)
            with self._session.counters.timed("verification"):
                return self._blinding.unweight(self._whole(answer[0], self._shape)) if wants else None

        def right(gradient: Tensor | None) -> bool:
            if gradient is not None and not self._fingerprint.gradient_is_right(gradient):
                return False
            self._fingerprint.step(step)
            return True

        self._until_right("step", action, right)
        if self._journal is not None:
            self._journal.add_step(step)

    def state(self) -> State:
        """W, V and G in the clear, checked against their fingerprints."""
        self._session.require_open()
        return self._until_right("fetch", lambda: self._fetch_state(self._place), self._fingerprint_agrees)

    def gradient(self) -> Tensor:
        """G (n, m) in the clear, checked."""
        self._session.require_open()
        found = self._until_right("fetch", self._fetch_gradient, self._gradient_agrees)
        assert found is not None  # _gradient_agrees refuses None
        return found

    def load(self, state: State) -> None:
        """Other weights, from outside."""
        self._session.require_open()
        if self._journal is not None:
            self._journal.reset(state)
        self._start_somewhere(state)

    def rotate(self) -> None:
        """New Q and R: the state comes back, is checked, and leaves under new keys. The worker never sees how the new
        keys follow from the old ones."""
        state = self._own() if self._own is not None else self.state()
        self._rotation += 1
        self._blinding = self._new_blinding()
        self.load(state)

    def snapshot(self) -> None:
        """Starts the journal again from the verified state."""
        state = self.state()
        self._fingerprint = self._new_fingerprint(state)
        if self._journal is not None:
            self._journal.reset(state)

    def drop(self) -> None:
        """Lets the place forget the layer."""
        self._place.ask(Message(Op.DROP, (self._number,)))

    def _until_right(
        self, what: str, action: Callable[[], T], is_right: Callable[[T], bool], *, gradient_matters: bool = True
    ) -> T:
        while True:
            if self._place.quarantined:
                self._leave(gradient_matters)
            try:
                result = action()
                with self._session.counters.timed("verification"):
                    self._session.counters.checks += 1
                    if is_right(result):
                        return result
                reason = "the result is wrong"
            except KakuriError as error:
                reason = fault(error)
            self._session.incident(self._place, self.name, what, reason)

    def _leave(self, gradient_matters: bool) -> None:
        """From a quarantined place to another one, with right weights."""
        state, origin = self._rescue(gradient_matters)
        self._start_somewhere(state)
        self._session.note("recovery", {"layer": self.name, "from": origin, "to": self._place.name})

    def _rescue(self, gradient_matters: bool) -> tuple[State, str]:
        if self._own is not None:
            return self._own(), "the master's own weights"
        if self._journal is not None:
            return self._journal.replay(), "the journal"
        try:
            state = self._fetch_state(self._place)
            if self._fingerprint.state_is_right(state, with_gradient=gradient_matters):
                return (state if gradient_matters else State(state.w, state.v)), "the failed worker, checked"
        except KakuriError as error:
            fault(error)
        self._session.close("weights were lost")
        raise KakuriError(
            "KK-O35",
            "a worker lost or changed its weights, and no journal was kept",
            where=self.name,
            hint="resume from a checkpoint; plan with journal_bytes above 0 to go on without one",
        )

    def _start_somewhere(self, state: State) -> None:
        """Starts from ``state`` where the layer is, or elsewhere when that place fails."""
        while True:
            if self._place.quarantined:
                self._place = self._session.place_for(self._number)
            try:
                return self._start(state)
            except KakuriError as error:
                self._session.incident(self._place, self.name, "load", fault(error))

    def _start(self, state: State) -> None:
        """Fresh probes, and the blinded state to the place."""
        counters = self._session.counters
        with counters.timed("verification"):
            self._fingerprint = self._new_fingerprint(state)
        with counters.timed("blinding"):
            blinded = state.map(self._blinding.weight)
        counters.weight_blindings += 1
        flags = (int(state.v is not None), int(state.g is not None))
        self._generation += 1
        self._ask(Op.LOAD, flags, blinded.tensors(), wants=0)
        if not self._place.trusted:
            counters.weight_elements += sum(tensor.numel() for tensor in blinded.tensors())

    def _fetch_gradient(self) -> Tensor | None:
        return self._fetch(self._place, (0, 0, 1))[2]

    def _fetch(self, place: Place, wanted: tuple[int, int, int]) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """W, V and G as far as they are wanted and there, in the clear, not checked."""
        counters = self._session.counters
        with counters.timed("waiting"):
            answer = place.ask(Message(Op.FETCH, (self._number, *wanted)))
        present = answer.integers
        fits = len(present) == 3 and sum(present) == len(answer.tensors) and set(present) <= {0, 1}
        if not fits or any(flag > want for flag, want in zip(present, wanted, strict=True)):
            raise misfit(place)
        if not wanted[0]:
            self._moved(*answer.tensors)
        elif not place.trusted:
            counters.weight_elements += sum(tensor.numel() for tensor in answer.tensors)
        tensors = iter(answer.tensors)
        with counters.timed("blinding"):
            w, v, g = (self._blinding.unweight(self._whole(next(tensors), self._shape)) if f else None for f in present)
        return w, v, g

    def _fetch_state(self, place: Place) -> State:
        w, v, g = self._fetch(place, (1, 1, 1))
        if w is None:
            raise misfit(place)
        return State(w, v, g)

    def _fingerprint_agrees(self, state: State) -> bool:
        return self._fingerprint.state_is_right(state)

    def _gradient_agrees(self, gradient: Tensor | None) -> bool:
        return gradient is not None and self._fingerprint.gradient_is_right(gradient)

    def _ensure_kept(self, ticket: Ticket, left: Left) -> None:
        """Sends X' again when the layer moved or turned its keys since the forward pass."""
        if ticket.generation == self._generation:
            return
        blinded = self._blinded(left.apply, ticket.x, self._blinding.q, left)
        self._ask(Op.FORWARD, (ticket.number, 0), (blinded,), wants=0)
        self._moved(blinded)
        ticket.generation = self._generation

    def _blinded(self, apply: _Apply, operand: Operand, right: Right, left: Left) -> Tensor:
        """The operand (b, n) hidden on both sides, straight where the place takes it from, and seen by the way."""
        counters, x = self._session.counters, operand.values
        counters.blindings += 1
        with counters.timed("verification"):
            look = operand.ask(self._fingerprint)
        with counters.timed("blinding"):
            blinded = apply(x, right, self._place.room((left.blinded_rows, x.shape[1]), self._dtype), look)
        if look is not None:
            counters.rode(look.seconds)
            with counters.timed("verification"):
                operand.took(self._fingerprint, look)
        return blinded

    def _plain(self, undo: _Undo, result: Tensor, shape: tuple[int, int], right: Right, ask: _AskAnswer) -> _Answer:
        """What a worker's answer hides, when it has the shape that it must have."""
        counters = self._session.counters
        counters.unblindings += 1
        result = self._whole(result, shape)
        with counters.timed("blinding"):
            look = ask(len(result), None)
            answer = _Answer(undo(result, right, look), look)
        counters.rode(look.seconds)
        if takes_in(look):
            return answer
        with counters.timed("verification"):  # from one copy, since a worker may change what it answered
            look = ask(len(result), torch.float64)
            return _Answer(undo(result.double(), right, look).to(self._dtype), look)

    def _ask(
        self,
        op: Op,
        integers: tuple[int, ...],
        tensors: tuple[Tensor, ...],
        floats: tuple[float, ...] = (),
        *,
        wants: int,
        meanwhile: Callable[[], None] | None = None,
    ) -> tuple[Tensor, ...]:
        """meanwhile: what the verification does while the place is at work."""
        counters = self._session.counters

        def verify() -> None:
            if meanwhile is not None:
                with counters.timed("verification"):
                    meanwhile()

        before, before_cpu = counters.verification_seconds, counters.verification_cpu_seconds
        with counters.timed("waiting"):
            sent = tuple(tensor.contiguous() for tensor in tensors)
            answer = self._place.ask(Message(op, (self._number, *integers), floats, sent), verify)
        counters.waiting_seconds -= counters.verification_seconds - before
        counters.waiting_cpu_seconds -= counters.verification_cpu_seconds - before_cpu
        if len(answer.tensors) != wants:
            raise misfit(self._place)
        return answer.tensors

    def _whole(self, tensor: Tensor, shape: tuple[int, int]) -> Tensor:
        """``tensor``, when a worker gave it the shape and dtype that it must have."""
        if tuple(tensor.shape) != shape or tensor.dtype != self._dtype:
            raise misfit(self._place)
        return tensor

    def _new_ticket(self, left: Left, x: Operand) -> Ticket:
        self._tickets += 1
        ticket = Ticket(self._tickets, left, x, self._generation)
        weakref.finalize(ticket, self._forgotten.append, ticket.number)
        return ticket

    def _new_blinding(self) -> Blinding:
        tier, path = self._tier, (self._number, self._rotation)
        n, m = self._shape
        return Blinding(
            tier.right(self._session.stream("Q", *path), n), tier.right(self._session.stream("R", *path), m)
        )

    def _left(self, batch: int, rows: int) -> Left:
        with self._session.counters.timed("blinding"):
            return self._tier.left(self._session.stream("P", self._number, batch), rows)

    def _new_fingerprint(self, state: State) -> Fingerprint:
        mixes = self._tier.mixes
        probes = max(probes_for(n, m, self._dtype, mixes) for n, m in (self._shape, self._shape[::-1]))
        return Fingerprint(state, probes=probes, mixes=mixes)

    def _gradient_is_small(self, rows: int) -> bool:
        """Whether fetching G is cheap beside a batch of ``rows`` rows, and cheaper than another pass over X."""
        n, m = self._shape
        return n * m <= _SMALL_GRADIENT * rows * (n + m)

    def _moved(self, *tensors: Tensor) -> None:
        if not self._place.trusted:
            self._session.counters.moved_elements += sum(tensor.numel() for tensor in tensors)

    def _computed(self, rows: int) -> None:
        if not self._place.trusted:
            self._session.counters.offloaded_flops += 2 * rows * self._shape[0] * self._shape[1]


def fault(error: KakuriError) -> str:
    """What a worker did wrong; any other error goes on."""
    if error.code not in _WORKER_FAULTS:
        raise error
    return error.problem.what


def misfit(place: Place) -> KakuriError:
    return KakuriError("KK-O22", "a worker refused: its answer does not fit", where=place.name)
