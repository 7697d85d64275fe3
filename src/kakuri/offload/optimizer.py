"""The user's optimizer, which also steps the weights that live on workers.

Purpose: ``optimizer.step()`` and ``zero_grad()`` as ever; learning-rate schedulers work, since ``param_groups`` are the
user's own.
Guarantees: an offloaded weight is updated with the settings of the group in which it was; a gradient that was
changed in a way the worker cannot follow is refused (KK-O37), never ignored.
Does not guarantee: secrecy of learning rate, momentum and decay: workers see them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, overload

import torch
from torch import Tensor

from kakuri.errors import KakuriError
from kakuri.offload.layers import WorkerWeight
from kakuri.offload.sgd import SgdStep


class OffloadOptimizer(torch.optim.Optimizer):
    """inner: the user's optimizer. homes: per group of ``inner`` the offloaded weights that were in it."""

    def __init__(self, inner: torch.optim.Optimizer, homes: list[list[WorkerWeight]]) -> None:
        self.inner = inner
        self._homes = homes
        self.defaults = inner.defaults
        self.state = inner.state
        self.param_groups = inner.param_groups
        self._optimizer_step_pre_hooks = inner._optimizer_step_pre_hooks
        self._optimizer_step_post_hooks = inner._optimizer_step_post_hooks

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, homes in zip(self.param_groups, self._homes, strict=True):
            for home in homes:
                if home.handle.grad is not None:
                    home.remote.step(_settings(group, _scale(home)))
        self.inner.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Raises KK-O38 for ``set_to_none=False``, which a worker cannot tell from no gradient."""
        if not set_to_none:
            raise KakuriError("KK-O38", "gradients on workers are dropped, not zeroed", hint="use set_to_none=True")
        self.inner.zero_grad()
        for homes in self._homes:
            for home in homes:
                home.handle.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The user's optimizer's, for what the master updates; velocities on workers are in a checkpoint."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.inner.load_state_dict(dict(state_dict))
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    def __repr__(self) -> str:
        return f"OffloadOptimizer({self.inner!r})"


def runs_on_workers(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the update is one that workers can do and fingerprints can follow."""
    return type(optimizer) is torch.optim.SGD


def take_velocity(optimizer: torch.optim.Optimizer, weight: Tensor) -> Tensor | None:
    """The momentum buffer that ``optimizer`` already has for ``weight``; it is removed there."""
    velocity: Tensor | None = optimizer.state.pop(weight, {}).get("momentum_buffer")
    return velocity


def _settings(group: dict[str, Any], scale: float) -> SgdStep:
    return SgdStep(
        lr=float(group["lr"]),
        momentum=float(group["momentum"]),
        dampening=float(group["dampening"]),
        weight_decay=float(group["weight_decay"]),
        scale=scale,
        nesterov=bool(group["nesterov"]),
        maximize=bool(group["maximize"]),
    )


def _scale(home: WorkerWeight) -> float:
    """What clipping made of the gradient: the factor on its norm."""
    assert home.handle.grad is not None
    now = float(home.handle.grad)
    if now == home.shown:
        return 1.0
    if not math.isfinite(home.shown) or not math.isfinite(now):
        raise KakuriError(
            "KK-O37",
            "the gradient of an offloaded weight was changed",
            where=home.remote.name,
            got=now,
            limit="clipping by norm, in a plan with clipping=True",
            hint="plan with clipping=True; other changes need update='master'",
        )
    return now / home.shown if home.shown else 1.0
