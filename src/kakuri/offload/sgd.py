"""Stochastic gradient descent as PyTorch defines it: the settings, and the update of weights.

Purpose: the update is linear in weight, momentum and gradient, so that the same lines, applied to ``W r``, ``V r`` and
``G r``, follow what a worker must have done to W without holding W. For fingerprints ``take`` of
``native/blinding/core/meeting.hpp`` is the same update together with its variances; a test holds both together.
Guarantees: the same order of operations as ``torch.optim.SGD`` on one tensor.
Source: PyTorch's documentation of ``torch.optim.SGD``.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SgdStep:
    """One step's settings. scale: a factor on the gradient (from clipping)."""

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    scale: float = 1.0
    nesterov: bool = False
    maximize: bool = False

    @classmethod
    def from_numbers(cls, floats: tuple[float, ...], flags: tuple[int, ...]) -> SgdStep:
        """Raises ValueError when there are too few or too many."""
        lr, momentum, dampening, weight_decay, scale = floats
        nesterov, maximize = flags
        return cls(lr, momentum, dampening, weight_decay, scale, bool(nesterov), bool(maximize))

    def floats(self) -> tuple[float, float, float, float, float]:
        return (self.lr, self.momentum, self.dampening, self.weight_decay, self.scale)

    def flags(self) -> tuple[int, int]:
        return (int(self.nesterov), int(self.maximize))


def update(weight: Tensor, velocity: Tensor | None, gradient: Tensor, step: SgdStep) -> Tensor | None:
    """Changes ``weight`` in place; the new velocity, None without momentum. All tensors have the same shape."""
    change = gradient * step.scale if step.scale != 1.0 else gradient.clone()
    if step.maximize:
        change.neg_()
    if step.weight_decay:
        change.add_(weight, alpha=step.weight_decay)
    if step.momentum:
        if velocity is None:
            velocity = change.clone()
        else:
            velocity.mul_(step.momentum).add_(change, alpha=1.0 - step.dampening)
        change = change.add_(velocity, alpha=step.momentum) if step.nesterov else velocity
    weight.add_(change, alpha=-step.lr)
    return velocity if step.momentum else None
