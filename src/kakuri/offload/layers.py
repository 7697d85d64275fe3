"""Linear and Conv2d whose products run on a worker.

Purpose: drop-in modules that a plan puts in the place of ``nn.Linear`` and ``nn.Conv2d``; everything else of a model
stays in the master.
Guarantees: outputs, input gradients, bias gradients and updates are those of the plain layers up to rounding; biases
never leave the master. A convolution is sent as its matrix of patches (im2col), whose columns the tier blinds like
any others.
Does not guarantee: that shapes stay hidden; a worker sees rows, columns and counts.

Two homes of a weight. ``worker``: the module has no weight, only ``handle``, a parameter of one number:
``handle.grad`` is None when there is no gradient, and a scalar stands for the worker's gradient otherwise: its norm
when the plan was made with ``clipping=True``, else infinity, so that code that looks at gradients does not pass over
it silently. ``master``: the module has its weight as ever, and the worker gets it blinded whenever it changed; any
optimizer works.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from kakuri.offload.fresh import FreshProducts
from kakuri.offload.patches import patches
from kakuri.offload.remote import Remote, Ticket
from kakuri.offload.session import Session
from kakuri.offload.shared import SharedProducts
from kakuri.offload.tiers import AdditiveShares
from kakuri.offload.verify import State

Context = Any  # torch gives autograd contexts no usable type


class _OnWorker(torch.autograd.Function):
    """Y = X W with W updated on the worker; ``handle`` ties the product to the graph."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, handle: nn.Parameter, layer: WorkerWeight) -> Tensor:
        ctx.layer = layer
        y, ctx.ticket = layer.remote.forward(x, keep=True)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, dy: Tensor) -> tuple[Tensor | None, None, None]:
        return ctx.layer.backward(ctx.ticket, dy, ctx.needs_input_grad[0]), None, None


class _OnMaster(torch.autograd.Function):
    """Y = X W with W a parameter of the master."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, weight: Tensor, layer: MasterWeight) -> Tensor:
        ctx.layer = layer
        y, ctx.ticket = layer.remote.forward(x, keep=True)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, dy: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        dx, gradient = ctx.layer.remote.backward(
            ctx.ticket, dy, wants_input=ctx.needs_input_grad[0], wants_gradient=True
        )
        return dx, None if gradient is None else _from_matrix(gradient, ctx.layer.weight_shape), None


class WorkerWeight:
    """The weight of one layer, at home on a worker. weight_shape: as PyTorch has it, outputs first. shown: the
    gradient's stand-in when it was last set."""

    def __init__(self, session: Session, name: str, weight: Tensor, velocity: Tensor | None) -> None:
        self.session = session
        self.shown = math.inf
        self.weight_shape = weight.shape
        self._clipping = session.settings.clipping
        self.handle = nn.Parameter(torch.zeros((), dtype=weight.dtype))
        state = State(matrix_of(weight), None if velocity is None else matrix_of(velocity))
        tier = session.settings.tier
        assert not isinstance(tier, AdditiveShares)  # shares leave updates to the master
        self.remote = Remote(session, name, tier, state)

    def multiply(self, x: Tensor) -> Tensor:
        """x (b, n) -> (b, m)."""
        if torch.is_grad_enabled():
            return _product(_OnWorker, x, self.handle, self)
        return self.remote.forward(x, keep=False)[0]

    def backward(self, ticket: Ticket, dy: Tensor, wants_input: bool) -> Tensor | None:
        accumulate = self.handle.grad is not None
        dx, _ = self.remote.backward(ticket, dy, accumulate=accumulate, wants_input=wants_input)
        shown = self.remote.gradient().norm() if self._clipping else torch.tensor(math.inf, dtype=self.handle.dtype)
        self.handle.grad = shown
        self.shown = float(shown)
        return dx

    def plain_weight(self) -> Tensor:
        """The weight in the clear, checked."""
        return self.as_weight(self.remote.state().w)

    def plain_velocity(self) -> Tensor | None:
        """The momentum buffer in the clear, checked."""
        v = self.remote.state().v
        return None if v is None else self.as_weight(v)

    def as_weight(self, matrix: Tensor) -> Tensor:
        """matrix (n, m) in the shape of the weight."""
        return _from_matrix(matrix, self.weight_shape)

    def set_weight(self, weight: Tensor, velocity: Tensor | None) -> None:
        self.remote.load(State(matrix_of(weight), None if velocity is None else matrix_of(velocity)))


class MasterWeight:
    """The weight of one layer, at home in the master."""

    def __init__(self, session: Session, name: str, weight: Tensor) -> None:
        self.session = session
        self.weight_shape = weight.shape
        self.weight = weight
        self._sent = weight._version
        self.remote = self._products(session, name)

    def _products(self, session: Session, name: str) -> Remote | FreshProducts | SharedProducts:
        tier = session.settings.tier
        if isinstance(tier, AdditiveShares):
            return SharedProducts(session, name, tier, self._state)
        if session.settings.key_shift:
            return Remote(session, name, tier, self._state(), own=self._state)
        return FreshProducts(session, name, tier, self._state)

    def multiply(self, x: Tensor) -> Tensor:
        """x (b, n) -> (b, m)."""
        if self.weight._version != self._sent:
            self._sent = self.weight._version
            self.remote.load(self._state())
        if torch.is_grad_enabled():
            return _product(_OnMaster, x, self.weight, self)
        return self.remote.forward(x, keep=False)[0]

    def _state(self) -> State:
        return State(matrix_of(self.weight.detach()))


def _product(function: type[torch.autograd.Function], *arguments: object) -> Tensor:
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


def matrix_of(weight: Tensor) -> Tensor:
    """(m, n) or (m, c, kh, kw) -> W (n, m), a copy; a convolution's inputs with channels last, as ``patches``."""
    last = weight.detach().movedim(1, -1).reshape(len(weight), -1)
    return last.T.clone(memory_format=torch.contiguous_format)


def _from_matrix(matrix: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of ``matrix_of``."""
    m, c, *kernel = shape
    return matrix.T.reshape(m, *kernel, c).movedim(-1, 1).contiguous()


Home = WorkerWeight | MasterWeight


class _Offloaded(nn.Module):
    """bias (m,) or None stays a parameter of the master. ``state_dict`` has ``weight`` and ``bias`` as the plain
    layer."""

    def __init__(self, home: Home, bias: Tensor | None) -> None:
        super().__init__()
        self.home = home
        if isinstance(home, WorkerWeight):
            self.handle = home.handle
        else:
            self.weight = home.weight
        self.bias = bias

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        home = self.home
        destination[f"{prefix}weight"] = home.plain_weight() if isinstance(home, WorkerWeight) else home.weight.detach()
        if self.bias is not None:
            destination[f"{prefix}bias"] = self.bias if keep_vars else self.bias.detach()

    def _load_from_state_dict(  # noqa: PLR0917 (torch calls it so)
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        weight, bias = state_dict.get(f"{prefix}weight"), state_dict.get(f"{prefix}bias")
        if weight is None:
            missing_keys.append(f"{prefix}weight")
        elif weight.shape != self.home.weight_shape:
            error_msgs.append(f"{prefix}weight: shape {tuple(weight.shape)}, not {tuple(self.home.weight_shape)}")
        elif isinstance(self.home, WorkerWeight):
            velocity = self.home.plain_velocity()
            self.home.set_weight(weight, velocity)
        else:
            with torch.no_grad():
                self.home.weight.copy_(weight)
        if bias is not None and self.bias is not None:
            with torch.no_grad():
                self.bias.copy_(bias)
        elif self.bias is not None:
            missing_keys.append(f"{prefix}bias")


class OffloadedLinear(_Offloaded):
    """``nn.Linear``."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.home.multiply(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias


class OffloadedConv2d(_Offloaded):
    """``nn.Conv2d`` without groups."""

    def __init__(self, home: Home, source: nn.Conv2d) -> None:
        super().__init__(home, source.bias)
        self._kernel, self._dilation, self._stride = source.kernel_size, source.dilation, source.stride
        self._padding = list(source._reversed_padding_repeated_twice)
        self._mode = "constant" if source.padding_mode == "zeros" else source.padding_mode

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, self._padding, mode=self._mode) if any(self._padding) else x
        rows, height, width = patches(padded, self._kernel, self._stride, self._dilation)
        y = self.home.multiply(rows).view(len(x), height, width, -1).permute(0, 3, 1, 2)
        return y if self.bias is None else y + self.bias[:, None, None]
