"""Did the worker compute what it was asked? Freivalds' check with secret Gaussian probes.

For Y = X W and a secret probe r, Y r = X (W r) costs b (n + m) products instead of b n m. The master does not hold
W; it holds the fingerprints s = W r and t = W^T q and moves them as W should move: G r = X^T (dY r), G^T q = dY^T (X
q), and the update of ``sgd.py`` is linear. So a wrong product and a wrong update on the worker both show in the next
check. All checks look at unblinded values: they do not depend on the tier, and survive key rotation.

Tolerance. A sum of n products in working precision u errs by about u/2 times the root of the summed squares of its
partial sums; these run from 0 to y with a spread of a = sum_k x_k^2 w_k^2, so their mean square is taken as y^2/3 +
a/2. Summed over the outputs with r, and with what the worker's own W' has drifted by its rounding, the residual of
row i has variance

    sigma_i^2 = u^2 [ n/4 (|y_i|^2 / 3 + a_i / 2) + sum_k x_ik^2 drift_k ],   a_i = sum_k x_ik^2 |W_k|^2.

A residual above ``SIGMAS`` sigma_i on any probe is a failure.

Guarantees: an error that does not depend on the probe and changes a row of Y by e passes one probe with probability
at most 0.8 * SIGMAS * sigma_i / |e|, and the probes are independent. ``probes_for`` chooses how many.
Does not guarantee: detection of errors of the size of honest rounding; soundness against somebody who learns the
probes.
Source: Freivalds 1977; Higham and Mary 2019 (rounding of sums grows with the root of their length).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kakuri.errors import KakuriError
from kakuri.offload.masks import MaskKey
from kakuri.offload.sgd import SgdStep, update
from kakuri.trust import SystemEntropy

SIGMAS = 8.0
MISS = 2e-5
_MIXING_LENGTH = 256  # blinding and unblinding: two rounds of sums of 64 on either side of the product
_SHARED = 4.0  # how much of the mean variance every row of a mixing tier is granted
_ONE_ENTRY = 0.01  # the error that must be caught: one entry, one percent of rms


def probes_for(inner: int, outer: int, dtype: torch.dtype, mixes: bool) -> int:
    """Probes so that one output off by 1 % of rms is missed at most twice in 100,000 times; at least two."""
    u = torch.finfo(dtype).eps / 2
    length, share = (inner + _MIXING_LENGTH, 1 + _SHARED) if mixes else (inner, 1.0)
    spread = 2.0 if mixes else 1.0
    sigma = u * math.sqrt(length * outer * share * (1 / 3 + spread / 2) / 4)
    single = 0.8 * SIGMAS * sigma / _ONE_ENTRY
    return max(2, math.ceil(math.log(MISS) / math.log(single))) if single < 1 else 8


@dataclass(frozen=True)
class State:
    """What a worker holds of a layer, in the clear. w (n, m); v, g: velocity and gradient as far as there are any."""

    w: Tensor
    v: Tensor | None = None
    g: Tensor | None = None

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(item for item in (self.w, self.v, self.g) if item is not None)

    def map(self, change: Callable[[Tensor], Tensor]) -> State:
        v, g = (None if item is None else change(item) for item in (self.v, self.g))
        return State(change(self.w), v, g)

    def transposed(self) -> State:
        return self.map(lambda item: item.T)


@dataclass
class _Side:
    """One direction. probe (m, k); of w, velocity, gradient: (n, k) fingerprints; *_noise (n,): variances in units
    of u^2.

    norms (n,): squared norms of the rows of W when it was last seen.
    """

    probe: Tensor
    w: Tensor
    v: Tensor | None
    g: Tensor | None
    norms: Tensor
    w_noise: Tensor
    v_noise: Tensor
    g_noise: Tensor
    mixes: bool

    @classmethod
    def anchor(cls, probe: Tensor, state: State, mixes: bool) -> _Side:
        v, g = (None if item is None else item.double() @ probe for item in (state.v, state.g))
        norms = state.w.double().square().sum(1)
        none = torch.zeros_like(norms)
        return cls(probe, state.w.double() @ probe, v, g, norms, none, none.clone(), none.clone(), mixes)

    def _shared(self, noise: Tensor) -> Tensor:
        """Variances per row, for a tier that spreads every row's rounding over many rows."""
        return noise + _SHARED * noise.mean() if self.mixes else noise

    def weight_norms(self) -> Tensor:
        """(n,) squared row norms: the anchored or the ones that the probes see, whichever is larger."""
        return torch.maximum(self.norms, self.w.square().mean(1))

    def residual(self, x: Tensor, y: Tensor, u: float) -> tuple[Tensor, Tensor, Tensor]:
        """|y r - x s| (b, k), its tolerance (b, 1), and x s, for x (b, n) and y (b, m) in double."""
        expected = x @ self.w
        squares, norms = x.square(), self.weight_norms()
        spread = squares @ norms
        if self.mixes:  # a mixed column sees the mean weight
            spread = spread + squares.sum(1) * norms.mean()
        spread, outputs = self._shared(spread), self._shared(y.square().sum(1))
        length = x.shape[1] + (_MIXING_LENGTH if self.mixes else 0)
        variance = 0.25 * length * (outputs / 3 + spread / 2) + squares @ self._shared(self.w_noise + 4.0 * norms)
        return (y @ self.probe - expected).abs(), SIGMAS * u * variance.sqrt()[:, None], expected

    def add_gradient(self, x: Tensor, dy: Tensor, accumulate: bool) -> None:
        """G r += x^T (dy r)."""
        added = x.T @ (dy @ self.probe)
        noise = 0.5 * len(x) * (x.square().T @ dy.square().sum(1))
        if accumulate and self.g is not None:
            self.g, self.g_noise = self.g + added, self.g_noise + noise
        else:
            self.g, self.g_noise = added, noise

    def step(self, step: SgdStep) -> None:
        if self.g is None:
            raise KakuriError("KK-O31", "a step without a gradient", hint="call backward before optimizer.step")
        self.v = update(self.w, self.v, self.g, step)
        norms = self.weight_norms()
        size = self.g.square().mean(1) if self.v is None else self.v.square().mean(1)
        change = step.scale**2 * self.g_noise + step.weight_decay**2 * (self.w_noise + norms) + 2.0 * size
        self.v_noise = step.momentum**2 * self.v_noise + change
        self.w_noise = self.w_noise + (step.lr / (1.0 - min(step.momentum, 0.999))) ** 2 * self.v_noise + norms

    def agrees(self, state: State, u: float, with_gradient: bool) -> bool:
        """Whether matrices fetched from a worker have these fingerprints."""
        parts = [(state.w, self.w, self.w_noise), (state.v, self.v, self.v_noise)]
        if with_gradient:
            parts.append((state.g, self.g, self.g_noise))
        return all(self.fits(matrix, expected, noise, u) for matrix, expected, noise in parts)

    def fits(self, matrix: Tensor | None, expected: Tensor | None, noise: Tensor, u: float) -> bool:
        """Whether ``matrix`` times the probe is ``expected`` (both absent also fits)."""
        if matrix is None or expected is None:
            return matrix is expected
        wide = matrix.double()
        sigma = u * (self._shared(noise) + 16.0 * self._shared(wide.square().sum(1))).sqrt()
        return bool(((wide @ self.probe - expected).abs() <= SIGMAS * sigma[:, None]).all())


class Fingerprint:
    """The running fingerprints of one layer's weight, velocity and gradient, in both directions.

    The probes come from a key of their own and exist in the master alone.
    """

    def __init__(self, state: State, *, probes: int, mixes: bool) -> None:
        n, m = state.w.shape
        self._u = torch.finfo(state.w.dtype).eps / 2
        key = MaskKey(SystemEntropy())
        r, q = (
            torch.from_numpy(key.stream(side).gaussian(size * probes)).view(size, probes)
            for side, size in (("r", m), ("q", n))
        )
        self._forward = _Side.anchor(r, state, mixes)
        self._backward = _Side.anchor(q, state.transposed(), mixes)

    def output_is_right(self, x: Tensor, y: Tensor) -> bool:
        """Y = X W? Raises KK-O32 when the true product is not finite."""
        return self._check(self._forward, x, y)

    def input_gradient_is_right(self, dy: Tensor, dx: Tensor) -> bool:
        """dX = dY W^T? Raises KK-O32."""
        return self._check(self._backward, dy, dx)

    def add_gradient(self, x: Tensor, dy: Tensor, accumulate: bool) -> None:
        wide_x, wide_dy = x.double(), dy.double()
        self._forward.add_gradient(wide_x, wide_dy, accumulate)
        self._backward.add_gradient(wide_dy, wide_x, accumulate)

    def step(self, step: SgdStep) -> None:
        self._forward.step(step)
        self._backward.step(step)

    def state_is_right(self, state: State, *, with_gradient: bool = True) -> bool:
        turned = state.transposed()
        return self._forward.agrees(state, self._u, with_gradient) and self._backward.agrees(
            turned, self._u, with_gradient
        )

    def gradient_is_right(self, gradient: Tensor) -> bool:
        """G (n, m) fetched from a worker."""
        sides = ((self._forward, gradient), (self._backward, gradient.T))
        return all(side.fits(matrix, side.g, side.g_noise, self._u) for side, matrix in sides)

    def _check(self, side: _Side, x: Tensor, y: Tensor) -> bool:
        residual, tolerance, expected = side.residual(x.double(), y.double(), self._u)
        if not bool(expected.isfinite().all()):
            raise KakuriError(
                "KK-O32",
                "the training diverged: a product is not finite",
                hint="lower the learning rate, or clip gradients (plan with clipping=True)",
            )
        return bool((residual <= tolerance).all())
