"""What a worker computes: products of blinded matrices, and updates of blinded weights.

Purpose: one object that answers messages; a worker process wraps it in a channel, and the master runs one of its own
when no worker is left.
Guarantees: holds blinded matrices by number and nothing else: no key, label, loss, name or plain tensor has a way in.
A request that does not fit what it holds is answered with a code.
Does not guarantee: right answers; whoever runs it can change it, and the master checks what comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from kakuri.errors import KakuriError
from kakuri.offload import ring
from kakuri.offload.sgd import SgdStep, update
from kakuri.offload.transport.frames import Limits, Message, Op

REFUSALS = {1: "unknown layer", 2: "unknown ticket", 3: "shapes do not fit", 4: "not a request", 5: "out of memory"}

_MOST_SHARE_BYTES = Limits().tensor_bytes


@dataclass
class _Layer:
    """weight: W' (n, m). velocity, gradient: like it. kept: ticket -> X' (b, n)."""

    weight: Tensor
    velocity: Tensor | None = None
    gradient: Tensor | None = None
    kept: dict[int, Tensor] = field(default_factory=dict)


class _RefusalError(Exception):
    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(REFUSALS[number])


Room = Callable[[tuple[int, ...], torch.dtype], Tensor]


def _anywhere(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype)


class Core:
    """device: a torch device name. room: where an answer's tensor of a shape and dtype is to be written."""

    def __init__(self, device: str = "cpu", room: Room = _anywhere) -> None:
        self.device = torch.device(device)
        self._room = room
        self._later: Callable[[], None] | None = None
        self._layers: dict[int, _Layer] = {}
        self._answers = {
            Op.LOAD: self._load,
            Op.FORWARD: self._forward,
            Op.BACKWARD: self._backward,
            Op.STEP: self._step,
            Op.FETCH: self._fetch,
            Op.DROP: self._drop,
            Op.MULTIPLY: self._multiply,
            Op.MULTIPLY_SHARES: self._multiply_shares,
        }

    @torch.no_grad()
    def handle(self, message: Message) -> Message:
        """The answer: DONE with tensors, or REFUSED with a number of ``REFUSALS``."""
        try:
            self.finish()
            if message.op not in self._answers:
                raise _RefusalError(4)
            return self._answers[message.op](message)
        except _RefusalError as refusal:
            return Message(Op.REFUSED, (refusal.number,))
        except (torch.OutOfMemoryError, MemoryError):
            return Message(Op.REFUSED, (5,))
        except (KakuriError, RuntimeError, ValueError, IndexError, TypeError):
            return Message(Op.REFUSED, (3,))

    @torch.no_grad()
    def finish(self) -> None:
        """The work that the last answer did not wait for. Called between answer and next request, or with it."""
        later, self._later = self._later, None
        if later is not None:
            later()

    def _layer(self, number: int) -> _Layer:
        if number not in self._layers:
            raise _RefusalError(1)
        return self._layers[number]

    def _own(self, tensor: Tensor) -> Tensor:
        """A copy that outlives the message."""
        return tensor.to(self.device, copy=True)

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        """a b, both matrices, where the answer is sent from."""
        if a.device.type == "cpu":
            return torch.mm(a, b, out=self._room((len(a), b.shape[1]), a.dtype))
        return (a @ b).cpu()

    def _load(self, message: Message) -> Message:
        """integers: layer, has velocity, has gradient. tensors: W', then those."""
        number, has_velocity, has_gradient = message.integers
        tensors = [self._own(tensor) for tensor in message.tensors]
        if len(tensors) != 1 + has_velocity + has_gradient or any(t.shape != tensors[0].shape for t in tensors):
            raise _RefusalError(3)
        gradient = tensors.pop() if has_gradient else None
        velocity = tensors.pop() if has_velocity else None
        kept = self._layers[number].kept if number in self._layers else {}
        self._layers[number] = _Layer(tensors[0], velocity, gradient, kept)
        return Message(Op.DONE)

    def _forward(self, message: Message) -> Message:
        """integers: layer, ticket (negative: keep nothing), wants Y', tickets to forget. tensors: X' (b, n).

        Answers Y' = X' W' (b, m).
        """
        number, ticket, wants_output, *forgotten = message.integers
        layer = self._layer(number)
        (x,) = message.tensors
        if x.dim() != 2 or x.shape[1] != layer.weight.shape[0]:
            raise _RefusalError(3)
        for old in forgotten:
            layer.kept.pop(old, None)
        x = self._own(x) if ticket >= 0 else x.to(self.device)
        if ticket >= 0:
            layer.kept[ticket] = x
        return Message(Op.DONE, tensors=(self._product(x, layer.weight),) if wants_output else ())

    def _backward(self, message: Message) -> Message:
        """integers: layer, ticket, accumulate, wants dX'. tensors: dY' (b, m).

        Answers dX' = dY' W'^T (b, n). Then, while the master is busy with it, G' = X'^T dY', added to what there is
        when ``accumulate``.
        """
        number, ticket, accumulate, wants_input = message.integers
        layer = self._layer(number)
        if ticket not in layer.kept:
            raise _RefusalError(2)
        x, weight = layer.kept[ticket], layer.weight
        dy = self._own(message.tensors[0])
        if dy.shape != (len(x), weight.shape[1]):
            raise _RefusalError(3)
        tensors = (self._product(dy, weight.T),) if wants_input else ()
        self._later = partial(_add_gradient, layer, x, dy, bool(accumulate))
        return Message(Op.DONE, tensors=tensors)

    def _step(self, message: Message) -> Message:
        """integers: layer, wants G', nesterov, maximize. floats: as ``SgdStep.floats``. Answers with G' if it is
        wanted."""
        number, wants_gradient, *flags = message.integers
        layer = self._layer(number)
        if layer.gradient is None:
            raise _RefusalError(3)
        step = SgdStep.from_numbers(message.floats, tuple(flags))
        layer.velocity = update(layer.weight, layer.velocity, layer.gradient, step)
        return Message(Op.DONE, tensors=(layer.gradient.cpu(),) if wants_gradient else ())

    def _fetch(self, message: Message) -> Message:
        """integers: layer, wants W', wants V', wants G'. Answers with which of them follow, and those."""
        number, *wanted = message.integers
        layer = self._layer(number)
        asked = zip((layer.weight, layer.velocity, layer.gradient), wanted, strict=True)
        found = [tensor if want else None for tensor, want in asked]
        present = tuple(tensor.cpu() for tensor in found if tensor is not None)
        return Message(Op.DONE, tuple(int(tensor is not None) for tensor in found), tensors=present)

    def _drop(self, message: Message) -> Message:
        """integers: layer."""
        self._layers.pop(_first(message), None)
        return Message(Op.DONE)

    def _multiply(self, message: Message) -> Message:
        """tensors: A (p, q), B (q, r). Answers A B; nothing is kept."""
        a, b = (tensor.to(self.device) for tensor in message.tensors)
        if a.dim() != 2 or b.dim() != 2:
            raise _RefusalError(3)
        return Message(Op.DONE, tensors=(self._product(a, b),))

    def _multiply_shares(self, message: Message) -> Message:
        """integers: p, q, r, whether A and B are given as tensors (else as seeds, four integers each), those seeds.
        tensors: A (p, q) and B (q, r) as far as they are given. Answers A B modulo 2^64; nothing is kept."""
        p, q, r, a_given, b_given, *numbers = message.integers
        tensors, operands = list(message.tensors), []
        for given, shape in ((a_given, (p, q)), (b_given, (q, r))):
            if min(shape) < 0 or 8 * shape[0] * shape[1] > _MOST_SHARE_BYTES:
                raise _RefusalError(3)
            if given:
                operands.append(tensors.pop(0))
            else:
                operands.append(ring.expand(ring.seed_from(tuple(numbers[:4])), shape))
                del numbers[:4]
            if operands[-1].shape != shape or operands[-1].dtype != torch.int64:
                raise _RefusalError(3)
        if tensors or numbers or 8 * p * r > _MOST_SHARE_BYTES:
            raise _RefusalError(3)
        a, b = (operand.to(self.device) for operand in operands)
        return Message(Op.DONE, tensors=(ring.product(a, b).cpu(),))


def _add_gradient(layer: _Layer, x: Tensor, dy: Tensor, accumulate: bool) -> None:
    """G' becomes or grows by X'^T dY'. When it cannot, there is none, and the next step is refused."""
    try:
        if accumulate and layer.gradient is not None:
            layer.gradient.addmm_(x.T, dy)
        else:
            layer.gradient = x.T @ dy
    except (RuntimeError, MemoryError):
        layer.gradient = None


def _first(message: Message) -> int:
    if not message.integers:
        raise _RefusalError(4)
    return message.integers[0]
