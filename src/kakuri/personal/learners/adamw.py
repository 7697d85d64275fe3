"""Steps of AdamW, as ``torch.optim.AdamW`` takes them.

Purpose: torch's own class loads torch's compiler when it is made, 68 MiB that a device needs for other things.
Guarantees: the same steps up to float rounding (tested against torch's); all state is in ``tensors`` and ``steps``.
Source: Loshchilov, Hutter, Decoupled Weight Decay Regularization, ICLR 2019, algorithm 2.

Legend, as there: theta parameters, m and v first and second moments, t steps, eta rate, lambda decay.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class AdamW:
    """theta: parameters with gradients."""

    def __init__(self, theta: Sequence[Tensor], decay: float) -> None:
        self._theta, self._lambda, self.steps = list(theta), decay, 0
        self._m = [torch.zeros_like(parameter) for parameter in theta]
        self._v = [torch.zeros_like(parameter) for parameter in theta]

    @property
    def tensors(self) -> list[Tensor]:
        """Both moments of every parameter, to be read or written."""
        return [*self._m, *self._v]

    @torch.no_grad()
    def step(self, eta: float) -> None:
        """One step with the gradients that the parameters carry; they are dropped."""
        self.steps += 1
        first, second = 1 - _BETA_1**self.steps, 1 - _BETA_2**self.steps
        for theta, m, v in zip(self._theta, self._m, self._v, strict=True):
            if theta.grad is None:
                continue
            m.lerp_(theta.grad, 1 - _BETA_1)
            v.mul_(_BETA_2).addcmul_(theta.grad, theta.grad, value=1 - _BETA_2)
            theta.mul_(1 - eta * self._lambda)
            theta.addcdiv_(m, (v / second).sqrt_().add_(_EPSILON), value=-eta / first)
            theta.grad = None
