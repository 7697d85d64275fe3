"""The three products of a layer on additive shares (T3).

Purpose: one product on four workers, each of which sees uniform numbers only (``tiers.additive_shares``).
Guarantees: a share of one product never meets another product's; the answer is checked exactly, and a worker that
answered wrongly is found and left. With fewer than four workers left the master computes alone: no worker is ever
given two shares of one operand.
Does not guarantee: that workers do not talk to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from kakuri.errors import KakuriError
from kakuri.offload import ring
from kakuri.offload.afresh import Afresh
from kakuri.offload.integer_check import is_right, part_is_right
from kakuri.offload.masks import MaskStream
from kakuri.offload.places import Place
from kakuri.offload.remote import fault, misfit
from kakuri.offload.session import Session
from kakuri.offload.tiers.additive_shares import WORKERS, AdditiveShares
from kakuri.offload.transport.frames import Message, Op
from kakuri.offload.verify import State


@dataclass(frozen=True)
class _Split:
    """An operand: whole (p, q) as integers; seed: of share 0; second: share 1."""

    whole: Tensor
    seed: bytes
    second: Tensor

    def share(self, index: int) -> Tensor:
        return self.second if index else ring.expand(self.seed, (self.whole.shape[0], self.whole.shape[1]))


class SharedProducts(Afresh):
    def __init__(self, session: Session, name: str, shares: AdditiveShares, own: Callable[[], State]) -> None:
        super().__init__(session, name, own)
        self._shares = shares

    def _multiply(self, what: str, a: Tensor, b: Tensor) -> Tensor:
        session, counters, shares = self._session, self._session.counters, self._shares
        session.require_open()
        f = shares.exponent(float(a.detach().double().norm(dim=1).max()) if a.numel() else 0.0)
        g = shares.exponent(float(b.detach().double().norm(dim=0).max()) if b.numel() else 0.0)
        while (places := session.pool.four(self._number)) is not None:
            self._attempts += 1
            with counters.timed("blinding"):
                split = (self._split("A", shares.encode(a, f)), self._split("B", shares.encode(b, g)))
            counters.blindings += 2
            with counters.timed("waiting"):
                parts = self._answers(places, split, what)
            if parts is None:
                continue
            with counters.timed("blinding"):
                whole = parts[0] + parts[1] + parts[2] + parts[3]
            counters.unblindings += 1
            with counters.timed("verification"):
                counters.checks += 1
                if is_right(split[0].whole, split[1].whole, whole, self._stream("prime")):
                    counters.offloaded_flops += 2 * a.numel() * b.shape[1]
                    return shares.decode(whole, f, g, b.dtype)
                wrong = self._wrong(places, split, parts)
            for place in wrong:
                session.incident(place, self.name, what, "the result is wrong")
        return a.detach() @ b.detach()

    def _stream(self, *path: str | int) -> MaskStream:
        return self._session.stream(*path, self._number, self._attempts)

    def _split(self, side: str, whole: Tensor) -> _Split:
        seed = self._stream("share", side).child_key()
        return _Split(whole, seed, self._shares.split(whole, seed))

    def _answers(self, places: list[Place], split: tuple[_Split, _Split], what: str) -> list[Tensor] | None:
        """Of workers (0, 0), (0, 1), (1, 0), (1, 1); None when one failed, which is then quarantined."""
        messages = [_message(split, index // 2, index % 2) for index in range(WORKERS)]
        shape = (split[0].whole.shape[0], split[1].whole.shape[1])
        with ThreadPoolExecutor(WORKERS) as together:
            asked = [together.submit(_asked, *pair, shape) for pair in zip(places, messages, strict=True)]
            answers = [future.result() for future in asked]
        counters, parts = self._session.counters, []
        for place, message, answer in zip(places, messages, answers, strict=True):
            counters.moved_elements += sum(tensor.numel() for tensor in message.tensors)
            if isinstance(answer, str):
                self._session.incident(place, self.name, what, answer)
            else:
                counters.moved_elements += answer.numel()
                parts.append(answer)
        return parts if len(parts) == WORKERS else None

    def _wrong(self, places: list[Place], split: tuple[_Split, _Split], parts: list[Tensor]) -> list[Place]:
        """Whose part is not the product of its shares; everybody, should nobody be found."""
        found = [
            place
            for index, (place, part) in enumerate(zip(places, parts, strict=True))
            if not part_is_right(
                split[0].share(index // 2), split[1].share(index % 2), part, self._stream("part", index)
            )
        ]
        return found or places


def _message(split: tuple[_Split, _Split], i: int, j: int) -> Message:
    """The shares of worker (i, j): a seed for share 0, the matrix for share 1."""
    a, b = split
    sizes = (*a.whole.shape, b.whole.shape[1])
    seeds = (*(() if i else ring.seed_numbers(a.seed)), *(() if j else ring.seed_numbers(b.seed)))
    tensors = (*((a.second,) if i else ()), *((b.second,) if j else ()))
    return Message(Op.MULTIPLY_SHARES, (*sizes, i, j, *seeds), tensors=tensors)


def _asked(place: Place, message: Message, shape: tuple[int, int]) -> Tensor | str:
    """The answer, or what was wrong with the worker."""
    try:
        answer = place.ask(message)
        if len(answer.tensors) != 1:
            raise misfit(place)
        (part,) = answer.tensors
        if part.shape != shape or part.dtype != torch.int64:
            raise misfit(place)
        return part.clone()  # what a worker shares it can still change
    except KakuriError as error:
        return fault(error)
