"""Did the worker compute what it was asked? Freivalds' check with secret Gaussian probes.

For Y = X W and a secret probe r, Y r = X (W r) costs b (n + m) products instead of b n m. The master does not hold
W; it holds the fingerprints s = W r and t = W^T q and moves them as W should move: G r = X^T (dY r), G^T q = dY^T (X
q), and the update of ``sgd.py`` is linear. So a wrong product and a wrong update on the worker both show in the next
check. All checks look at unblinded values: they do not depend on the tier, and survive key rotation. Each operand
is passed over twice: ``look`` takes everything that is needed of X (X s for the product, X q for the update, weighted
squares for the tolerance), ``add_gradient`` the sums over its rows; each answer is passed over once. Probes lie along
rows, (k, n), as the kernels read them.

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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kakuri import _blinding
from kakuri.errors import KakuriError
from kakuri.offload.masks import MaskKey
from kakuri.offload.sgd import SgdStep, update
from kakuri.trust import SystemEntropy

Doubles = NDArray[np.float64]
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


@dataclass(frozen=True)
class Seen:
    """What one pass over an operand (b, n) gave. by: the fingerprint whose probes it met. expected (b, k): with W r;
    crossed (b, k): with the other side's probes; base (b,): the operand's part of the variance; squares (b,): of rows.
    """

    by: Fingerprint
    expected: Doubles
    crossed: Doubles
    base: Doubles
    squares: Doubles


@dataclass
class _Side:
    """One direction. probe (k, m); w, v, g (k, n): fingerprints of weight, velocity and gradient; *_noise (n,):
    variances in units of u^2.

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
    _looking: tuple[Doubles, Doubles] | None = field(default=None, repr=False)

    @classmethod
    def anchor(cls, probe: Tensor, state: State, mixes: bool) -> _Side:
        v, g = (None if item is None else probe @ item.double().T for item in (state.v, state.g))
        norms = state.w.double().square().sum(1)
        none = torch.zeros_like(norms)
        return cls(probe, probe @ state.w.double().T, v, g, norms, none, none.clone(), none.clone(), mixes)

    def _shared(self, noise: Tensor) -> Tensor:
        """Variances per row, for a tier that spreads every row's rounding over many rows."""
        return noise + _SHARED * noise.mean() if self.mixes else noise

    def _length(self) -> int:
        return self.w.shape[1] + (_MIXING_LENGTH if self.mixes else 0)

    def weight_norms(self) -> Tensor:
        """(n,) squared row norms: the anchored or the ones that the probes see, whichever is larger."""
        return torch.maximum(self.norms, self.w.square().mean(0))

    def looking(self, other: Tensor) -> tuple[Doubles, Doubles]:
        """With what ``look`` meets an operand until the next step: the own fingerprint and the other side's probes
        (2 k, n), and what its squares count for in the variance, by rounding of sums and by drift (2, n)."""
        if self._looking is None:
            norms = self.weight_norms()
            spread = norms + norms.mean() if self.mixes else norms  # a mixed column sees the mean weight
            weights = torch.stack([0.125 * self._length() * spread, self._shared(self.w_noise + 4.0 * norms)])
            self._looking = torch.cat([self.w, other]).numpy(), weights.numpy()
        return self._looking

    def base(self, squares: Doubles) -> Doubles:
        """squares (b, 3) by both weights and by none -> the operand's part of the variance (b,)."""
        sums = squares[:, 0]
        shared = sums + _SHARED * sums.mean() if self.mixes and len(sums) else sums
        variance: Doubles = shared + squares[:, 1]
        return variance

    def worst(self, seen: Seen, y: Tensor) -> float:
        """The largest squared residual of y (b, m) over its variance, in units of u^2."""
        return _blinding.worst_residual(
            _rows(y),
            self.probe.numpy(),
            seen.expected,
            seen.base,
            scale=0.25 * self._length() / 3,
            share=_SHARED if self.mixes else 0.0,
            threads=torch.get_num_threads(),
        )

    def add_gradient(self, x: Tensor, by_probe: Doubles, squares: Doubles, accumulate: bool) -> None:
        """G r += x^T (dy r), given dy r (b, k) and the squared norms (b,) of dy's rows."""
        sums, noise = _blinding.column_sums(_rows(x), by_probe, squares, threads=torch.get_num_threads())
        added, added_noise = torch.from_numpy(sums), torch.from_numpy(noise).mul_(0.5 * len(x))
        if accumulate and self.g is not None:
            self.g, self.g_noise = self.g + added, self.g_noise + added_noise
        else:
            self.g, self.g_noise = added, added_noise

    def step(self, step: SgdStep) -> None:
        if self.g is None:
            raise KakuriError("KK-O31", "a step without a gradient", hint="call backward before optimizer.step")
        self.v = update(self.w, self.v, self.g, step)
        norms = self.weight_norms()
        size = self.g.square().mean(0) if self.v is None else self.v.square().mean(0)
        change = step.scale**2 * self.g_noise + step.weight_decay**2 * (self.w_noise + norms) + 2.0 * size
        self.v_noise = step.momentum**2 * self.v_noise + change
        self.w_noise = self.w_noise + (step.lr / (1.0 - min(step.momentum, 0.999))) ** 2 * self.v_noise + norms
        self._looking = None

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
        return bool(((self.probe @ wide.T - expected).abs() <= SIGMAS * sigma).all())


class Fingerprint:
    """The running fingerprints of one layer's weight, velocity and gradient, in both directions.

    The probes come from a key of their own and exist in the master alone.
    """

    def __init__(self, state: State, *, probes: int, mixes: bool) -> None:
        n, m = state.w.shape
        self._u = torch.finfo(state.w.dtype).eps / 2
        key = MaskKey(SystemEntropy())
        r, q = (
            torch.from_numpy(key.stream(side).gaussian(size * probes)).view(probes, size)
            for side, size in (("r", m), ("q", n))
        )
        self._forward = _Side.anchor(r, state, mixes)
        self._backward = _Side.anchor(q, state.transposed(), mixes)

    def look(self, x: Tensor) -> Seen:
        """One pass over X (b, n), before or while the worker has it."""
        return self._look(self._forward, self._backward, x)

    def look_back(self, dy: Tensor) -> Seen:
        """One pass over dY (b, m)."""
        return self._look(self._backward, self._forward, dy)

    def output_is_right(self, seen: Seen, y: Tensor) -> bool:
        """Y = X W? Raises KK-O32 when the true product is not finite."""
        return self._check(self._forward, seen, y)

    def input_gradient_is_right(self, seen: Seen, dx: Tensor) -> bool:
        """dX = dY W^T, of which ``look_back`` saw dY? Raises KK-O32."""
        return self._check(self._backward, seen, dx)

    def add_gradient(self, x: Tensor, seen: Seen, dy: Tensor, seen_back: Seen, accumulate: bool) -> None:
        """G += X^T dY."""
        self._forward.add_gradient(x, seen_back.crossed, seen_back.squares, accumulate)
        self._backward.add_gradient(dy, seen.crossed, seen.squares, accumulate)

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

    def _look(self, side: _Side, other: _Side, x: Tensor) -> Seen:
        k = len(side.w)
        probes, weights = side.looking(other.probe)
        dots, squares = _blinding.row_sums(_rows(x), probes, weights, threads=torch.get_num_threads())
        crossed = np.ascontiguousarray(dots[:, k:])
        expected = np.ascontiguousarray(dots[:, :k])
        return Seen(self, expected, crossed, side.base(squares), np.ascontiguousarray(squares[:, 2]))

    def _check(self, side: _Side, seen: Seen, y: Tensor) -> bool:
        if not np.isfinite(seen.expected).all():
            raise KakuriError(
                "KK-O32",
                "the training diverged: a product is not finite",
                hint="lower the learning rate, or clip gradients (plan with clipping=True)",
            )
        return side.worst(seen, y) <= (SIGMAS * self._u) ** 2


def _rows(x: Tensor) -> NDArray[Any]:
    """As the kernels take it fastest."""
    array: NDArray[Any] = x.detach().contiguous().numpy()
    return array
