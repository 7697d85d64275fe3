"""What happened to a layer since its weights were last seen: enough to make them again when a worker loses them.

Purpose: training goes on, with the same result up to rounding, when a worker dies or returns wrong weights.
Guarantees: replay applies the recorded gradients and steps to the snapshot in the recorded order, in the clear, in the
master's memory; nothing of it is written anywhere.
Does not guarantee: a bound on memory by itself; the session takes a new snapshot when all journals exceed their limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kakuri.offload.sgd import SgdStep, update
from kakuri.offload.verify import State


@dataclass(frozen=True)
class _Gradient:
    x: Tensor
    dy: Tensor
    accumulate: bool


class Journal:
    """Of one layer; ``state`` is copied."""

    def __init__(self, state: State) -> None:
        self.reset(state)

    def reset(self, state: State) -> None:
        self._state = state.map(Tensor.clone)
        self._events: list[_Gradient | SgdStep] = []
        self.nbytes = 0

    def add_gradient(self, x: Tensor, dy: Tensor, accumulate: bool) -> None:
        """x (b, n), dy (b, m); both are copied, since the training may reuse their memory."""
        self._events.append(_Gradient(x.clone(), dy.clone(), accumulate))
        self.nbytes += x.nbytes + dy.nbytes

    def add_step(self, step: SgdStep) -> None:
        self._events.append(step)

    def replay(self) -> State:
        start = self._state.map(Tensor.clone)
        w, v, g = start.w, start.v, start.g
        for event in self._events:
            if isinstance(event, _Gradient):
                added = event.x.T @ event.dy
                g = g + added if event.accumulate and g is not None else added
            elif g is not None:
                v = update(w, v, g, event)
        return State(w, v, g)
