"""Did the worker compute what it was asked? Freivalds' check with secret Gaussian probes.

For Y = X W and a secret probe r, Y r = X (W r) costs b (n + m) products instead of b n m. The master does not hold
W; it holds the fingerprints s = W r and t = W^T q and moves them as W should move: G r = X^T (dY r), G^T q = dY^T (X
q), and the update of ``sgd.py`` is linear. So a wrong product and a wrong update on the worker both show in the next
check. What is needed of a matrix is taken in one ``Look`` while blinding or unblinding has its rows in the cache: of X
(X s for the product, X q for the update, weighted squares for the tolerance), of dY the same and dY^T (X q), of an
answer its products with the probes. Looks see plain columns, so that fingerprints survive key rotation, and rows as
the worker has them, permuted or mixed: one wrong entry of a worker's answer is in one of them. Probes lie along rows,
(k, n).

Two ways to G r. When G is small beside the batch (``Remote``), it is fetched, checked against G^T q, and multiplied by
r. Otherwise X is passed over once more for X^T (dY r).

Tolerance. A sum of n products in working precision u errs by about u/2 times the root of the summed squares of its
partial sums; these run from 0 to y with a spread of a = sum_k x_k^2 w_k^2, so their mean square is taken as y^2/3 +
a/2. Summed over the outputs with r, and with what the worker's own W' has drifted by its rounding, the residual of
row i has variance

    sigma_i^2 = u^2 [ n/4 (|y_i|^2 / 3 + a_i / 2) + sum_k x_ik^2 drift_k ],   a_i = sum_k x_ik^2 |W_k|^2.

Sums of b terms over rows, G, go the same way: u^2 b/4 (|G_j|^2 / 3 + a_j / 2); a worker's terms may all be equal, as
those of a picture's background are, and err alike within a block of its sums, so that b/2 a_j + b/8 |G_j|^2 are
granted.

Looks sum in working precision too, n terms in blocks, so that they round like sums of c(n) = 8 + n/4 at most, and over
rows in double precision beyond a few. X s is
such a sum with s_k^2 about |W_k|^2, and makes of n above n + c(n); Y r adds u^2 c(m)/4 (5/6) |y_i|^2. A residual above
``SIGMAS`` sigma_i on any probe is a failure. Matrices whose squares float32 cannot hold are looked at in float64.

Guarantees: an error that does not depend on the probe and changes a row of Y by e passes one probe with probability
at most 0.8 * SIGMAS * sigma_i / |e|, and the probes are independent. ``probes_for`` chooses how many.
Does not guarantee: detection of errors of the size of honest rounding, or, in a row 10^-6 as large as the others, of
the rounding of theirs; soundness against somebody who learns the probes.
Source: Freivalds 1977; Higham and Mary 2019 (rounding of sums grows with the root of their length).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kakuri import _blinding
from kakuri.errors import KakuriError
from kakuri.offload.masks import MaskKey
from kakuri.offload.sgd import SgdStep
from kakuri.trust import SystemEntropy

if TYPE_CHECKING:
    See = Callable[[Tensor, _blinding.Look], object]

Doubles = NDArray[np.float64]
Numbers = NDArray[np.float32] | NDArray[np.float64]
Plain = Callable[[Numbers, Numbers], tuple[Numbers, Numbers]]
SIGMAS = 8.0
MISS = 5e-6
_MIXING_LENGTH = 256  # blinding and unblinding: two rounds of sums of 64 on either side of the product
_SUMMED = 40.0  # terms that a sum over rows has in working precision
_SHARED = 4.0  # how much of the mean variance every row of a mixing tier is granted
_ALWAYS_SHARED = 1e-12  # and every row of any tier: squares of rows this small are below what float32 holds
_ONE_ENTRY = 0.01  # the error that must be caught: one entry, one percent of rms
_SQUARES = (1e-24, 1e30)  # mean squares that a look in float32 takes in
_LOOKS: Mapping[torch.dtype, tuple[type[_blinding.SingleLook], type[_blinding.SingleMeeting]]] = MappingProxyType(
    {
        torch.float32: (_blinding.SingleLook, _blinding.SingleMeeting),
        torch.float64: (_blinding.DoubleLook, _blinding.DoubleMeeting),
    }
)


def _chain(terms: int) -> float:
    """As how many terms one after the other a look's sum of ``terms`` rounds, on the narrowest kernel."""
    return 8.0 + terms / 4.0


def probes_for(inner: int, outer: int, dtype: torch.dtype, mixes: bool) -> int:
    """Probes so that, by the tolerance at the start, one output off by 1 % of rms is missed five times in a million; at
    least two."""
    u = torch.finfo(dtype).eps / 2
    length, share = (inner + _MIXING_LENGTH, 1 + _SHARED) if mixes else (inner, 1.0)
    spread = 2.0 if mixes else 1.0
    product = (length + _chain(inner)) * (1 / 3 + spread / 2) / 4
    sigma = u * math.sqrt(outer * share * (product + _of_answer(outer)))
    single = 0.8 * SIGMAS * sigma / _ONE_ENTRY
    return max(2, math.ceil(math.log(MISS) / math.log(single))) if single < 1 else 8


def _of_answer(outputs: int) -> float:
    """What looking at an answer adds to the variance, per |y_i|^2 u^2."""
    return _chain(outputs) * 5 / 24 + 1.0


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
    """What a look at an operand (b, n) found. by: the fingerprint whose probes it met. The look's dots (2k, b) are k
    with W r, then k with the other side's probes."""

    by: Fingerprint
    look: _blinding.Look


@dataclass(frozen=True)
class Crossed:
    """G r and G^T q of one batch of ``rows``, (k, n) and (k, m), and their variances in units of u^2. forward: None
    where G itself is to be fetched with the next step."""

    rows: int
    forward: tuple[Tensor, Doubles] | None
    backward: tuple[Tensor, Doubles]


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
    norms: Doubles
    w_noise: Doubles
    v_noise: Doubles
    g_noise: Doubles
    mixes: bool
    g_rows: int = 0  # that the gradient sums over
    _meetings: dict[torch.dtype, _blinding.SingleMeeting] = field(default_factory=dict, repr=False)
    _answers: dict[torch.dtype, _blinding.SingleMeeting] = field(default_factory=dict, repr=False)

    @classmethod
    def anchor(cls, probe: Tensor, state: State, mixes: bool) -> _Side:
        v, g = (None if item is None else probe @ item.double().T for item in (state.v, state.g))
        norms = state.w.double().square().sum(1).numpy()
        none = np.zeros_like(norms)
        return cls(probe, probe @ state.w.double().T, v, g, norms, none, none.copy(), none, mixes)

    def _shared(self, noise: Doubles) -> Doubles:
        """Variances per row, for a tier that spreads every row's rounding over many rows."""
        return noise + _SHARED * noise.mean() if self.mixes else noise

    def _length(self) -> float:
        n = self.w.shape[1]
        return n + _chain(n) + (_MIXING_LENGTH if self.mixes else 0)

    def ask(self, rows: int, across: _Side, dtype: torch.dtype) -> _blinding.Look:
        """A look to be taken at an operand (rows, n)."""
        look, meeting = _LOOKS[dtype]
        if dtype not in self._meetings:
            share = _SHARED if self.mixes else 0.0
            probes = self.w.numpy(), across.probe.numpy()
            self._meetings[dtype] = meeting(*probes, self.norms, self.w_noise, self._length(), share)
        return look(rows, self.w.shape[1], self._meetings[dtype])

    def answer(self, rows: int, dtype: torch.dtype) -> _blinding.Look:
        """A look to be taken at an answer (rows, m)."""
        look, meeting = _LOOKS[dtype]
        if dtype not in self._answers:
            self._answers[dtype] = meeting(self.probe.numpy())
        return look(rows, self.probe.shape[1], self._answers[dtype])

    def worst(self, seen: _blinding.Look, answer: _blinding.Look) -> float:
        """The largest squared residual of an answer over its variance, in units of u^2."""
        return _blinding.worst_residual(
            seen,
            answer,
            of_answer=self._length() / 12 + _of_answer(self.probe.shape[1]),
            share=_SHARED if self.mixes else _ALWAYS_SHARED,
        )

    def add_gradient(self, rows: int, added: Tensor, added_noise: Doubles, accumulate: bool) -> None:
        if accumulate and self.g is not None:
            self.g, self.g_noise, self.g_rows = self.g + added, self.g_noise + added_noise, self.g_rows + rows
        else:
            self.g, self.g_noise, self.g_rows = added, added_noise, rows

    def has_gradient(self, found: Doubles) -> None:
        """What the worker has, from which the step goes on."""
        self.g, self.g_noise, self.g_rows = torch.from_numpy(found), np.zeros(found.shape[1]), 0

    def step(self, step: _blinding.Step, momentum: bool) -> None:
        if self.g is None:
            raise KakuriError("KK-O31", "a step without a gradient", hint="call backward before optimizer.step")
        first = self.v is None
        self.v = None if not momentum else torch.empty_like(self.w) if self.v is None else self.v
        velocity = None if self.v is None else self.v.numpy()
        moved = self.w.numpy(), velocity, self.g.numpy()
        noise = self.w_noise, self.v_noise, self.g_noise
        _blinding.take_step(*moved, self.norms, *noise, first, step)
        self._meetings.clear()

    def agrees(self, state: State, u: float, with_gradient: bool) -> bool:
        """Whether matrices fetched from a worker have these fingerprints."""
        parts = [(state.w, self.w, self.w_noise), (state.v, self.v, self.v_noise)]
        if with_gradient:
            parts.append((state.g, self.g, self.g_noise))
        return all(self.fits(matrix, expected, noise, u) for matrix, expected, noise in parts)

    def fits(self, matrix: Tensor | None, expected: Tensor | None, noise: Doubles, u: float) -> bool:
        """Whether ``matrix`` times the probe is ``expected`` (both absent also fits)."""
        if matrix is None or expected is None:
            return matrix is expected
        wide = matrix.double()
        return self.close((self.probe @ wide.T).numpy(), expected, noise + 16.0 * wide.square().sum(1).numpy(), u)

    def close(self, found: Doubles, expected: Tensor, noise: Doubles, u: float) -> bool:
        """found, expected (k, n); noise (n,): variances in units of u^2."""
        limit = (SIGMAS * u) ** 2 * self._shared(noise)
        return bool(((found - expected.numpy()) ** 2 <= limit).all())


class Fingerprint:
    """The running fingerprints of one layer's weight, velocity and gradient, in both directions.

    The probes come from a key of their own and exist in the master alone.
    """

    def __init__(self, state: State, *, probes: int, mixes: bool) -> None:
        n, m = state.w.shape
        self._u = torch.finfo(state.w.dtype).eps / 2
        key = MaskKey(SystemEntropy())
        self._dtype = state.w.dtype
        r, q = (
            torch.from_numpy(key.stream(side).gaussian(size * probes)).view(probes, size).float().double()
            for side, size in (("r", m), ("q", n))
        )  # whole numbers of float32, so that looks meet exactly these
        self._forward = _Side.anchor(r, state, mixes)
        self._backward = _Side.anchor(q, state.transposed(), mixes)

    @property
    def wants_gradient(self) -> bool:
        """Whether a step needs the gradient to be fetched and checked before it."""
        return self._forward.g is None and self._backward.g is not None

    def ask(
        self, rows: int, *, back: bool = False, other: Seen | None = None, dtype: torch.dtype | None = None
    ) -> _blinding.Look:
        """What has to be seen of X (rows, n), or with ``back`` of dY (rows, m), and of dY the sums over its rows when X
        was seen (``other``). The look is to be taken before ``seen``."""
        side, across = (self._backward, self._forward) if back else (self._forward, self._backward)
        look = side.ask(rows, across, dtype or self._dtype)
        if other is not None:
            _add_columns(look, other.look)
        return look

    def seen(self, x: Tensor, look: _blinding.Look, see: See, *, back: bool = False, other: Seen | None = None) -> Seen:
        """``look``, taken at x by ``see``. Raises KK-O32 when x or its true product is not finite."""
        if not takes_in(look):
            look = self.ask(look.rows, back=back, other=other, dtype=torch.float64)
            see(x.double(), look)
        if not math.isfinite(look.total):
            raise _diverged()
        return Seen(self, look)

    def look(self, x: Tensor) -> Seen:
        """A pass of its own over X (b, n). Raises KK-O32."""
        return self._look(x, back=False, other=None)

    def look_back(self, dy: Tensor, other: Seen | None = None) -> Seen:
        """A pass of its own over dY (b, m), of whose X ``other`` is the look. Raises KK-O32."""
        return self._look(dy, back=True, other=other)

    def ask_output(self, rows: int, dtype: torch.dtype | None = None) -> _blinding.Look:
        """What has to be seen of Y (rows, m)."""
        return self._forward.answer(rows, dtype or self._dtype)

    def ask_input_gradient(self, rows: int, dtype: torch.dtype | None = None) -> _blinding.Look:
        """What has to be seen of dX (rows, n)."""
        return self._backward.answer(rows, dtype or self._dtype)

    def output_is_right(self, seen: Seen, y: Tensor, answer: _blinding.Look | None = None) -> bool:
        """Y = X W? answer: ``ask_output``, taken at Y. Raises KK-O32 when the true product is not finite."""
        return self._check(self._forward, seen, y, answer)

    def input_gradient_is_right(self, seen: Seen, dx: Tensor, answer: _blinding.Look | None = None) -> bool:
        """dX = dY W^T, of which ``look_back`` saw dY? Raises KK-O32."""
        return self._check(self._backward, seen, dx, answer)

    def crossed(
        self, x: Tensor | None, dy: Tensor, seen: Seen, seen_back: Seen, *, see_back: See, plain: Plain
    ) -> Crossed:
        """What X^T dY adds to the fingerprints of the gradient. x: None when G will be fetched. see_back: another look
        at dY. plain: what a look found of the worker's rows, for the rows of x."""
        own = seen_back.look
        backward = _crossed(own, seen.look.columns)
        if backward is None:  # X was seen in double precision, dY in single
            own = self.ask(own.rows, back=True, other=seen, dtype=torch.float64)
            see_back(dy.double(), own)
            backward = _crossed(own, seen.look.columns)
            assert backward is not None  # it was asked for
        if x is None:
            return Crossed(own.rows, None, backward)
        dots = seen_back.look.dots
        factors, squares = plain(dots[len(dots) // 2 :], seen_back.look.squares[-1])
        rows = _rows(x.to(_dtype_of(seen_back.look)))
        look = type(seen_back.look)(*rows.shape)
        look.add_factors(factors, squares)
        _blinding.look_at(rows, look, threads=torch.get_num_threads())
        return Crossed(own.rows, _crossed(look, own.columns), backward)

    def add_gradient(self, crossed: Crossed, *, accumulate: bool) -> None:
        """G becomes or grows by X^T dY."""
        if crossed.forward is None or (accumulate and self.wants_gradient):
            self._forward.g = None
        else:
            self._forward.add_gradient(crossed.rows, *crossed.forward, accumulate)
        self._backward.add_gradient(crossed.rows, *crossed.backward, accumulate)

    def step(self, step: SgdStep) -> None:
        native = _blinding.Step(*step.floats(), step.nesterov, step.maximize)
        for side in (self._forward, self._backward):
            side.step(native, step.momentum != 0.0)

    def state_is_right(self, state: State, *, with_gradient: bool = True) -> bool:
        """A gradient that was not fetched before is looked at from one side."""
        from_front = with_gradient and not self.wants_gradient
        return self._forward.agrees(state, self._u, from_front) and self._backward.agrees(
            state.transposed(), self._u, with_gradient
        )

    def gradient_is_right(self, gradient: Tensor) -> bool:
        """G (n, m) fetched from a worker; when it is right, the step goes on from it and needs no other."""
        front, back = self._forward, self._backward
        assert back.g is not None  # a backward pass went before
        found = _blinding.gradient_agrees(
            gradient.contiguous().numpy(),
            front.probe.numpy(),
            back.probe.numpy(),
            None if front.g is None else front.g.numpy(),
            front.g_noise,
            back.g.numpy(),
            back.g_noise,
            of_squares=16.0 + back.g_rows / 8,
            share=_SHARED if back.mixes else 0.0,
            limit=(SIGMAS * self._u) ** 2,
        )
        if found is None:
            return False
        front.has_gradient(found[0])
        back.has_gradient(found[1])
        return True

    def _look(self, x: Tensor, *, back: bool, other: Seen | None) -> Seen:
        look = self.ask(len(x), back=back, other=other)
        pass_over(x, look)
        return self.seen(x, look, pass_over, back=back, other=other)

    def _check(self, side: _Side, seen: Seen, y: Tensor, answer: _blinding.Look | None) -> bool:
        if answer is None:
            answer = side.answer(len(y), self._dtype)
            pass_over(y, answer)
            if not takes_in(answer):
                answer = side.answer(len(y), torch.float64)
                pass_over(y.double(), answer)
        worst = side.worst(seen.look, answer)
        if not math.isfinite(worst) and not seen.look.finite:
            raise _diverged()
        return worst <= (SIGMAS * self._u) ** 2


def pass_over(x: Tensor, look: _blinding.Look) -> None:
    """A look at x that rides on nothing."""
    _blinding.look_at(_rows(x), look, threads=torch.get_num_threads())


def _add_columns(look: _blinding.Look, other: _blinding.Look) -> None:
    """Sums over the rows of one operand by what was seen of the other; not asked for where single precision would have
    to hold what needed double."""
    if type(look) is type(other):
        look.add_columns(other)
    elif isinstance(look, _blinding.DoubleLook):
        dots = other.dots.astype(np.float64)
        look.add_factors(dots[len(dots) // 2 :], other.squares[-1].astype(np.float64))


def _crossed(look: _blinding.Look, columns: int) -> tuple[Tensor, Doubles] | None:
    """Sums over the rows of a look, of products of ``columns`` terms, here and by the worker, and their variance; None
    when they were not asked for."""
    found = look.gradient(0.5 * (look.rows + _SUMMED + _chain(columns)), look.rows / 8)
    return None if found is None else (torch.from_numpy(found[0]), found[1])


def _dtype_of(look: _blinding.Look) -> torch.dtype:
    return torch.float64 if isinstance(look, _blinding.DoubleLook) else torch.float32


def takes_in(look: _blinding.Look) -> bool:
    """Whether the look's precision holds the squares that it met."""
    count = max(look.rows * look.columns, 1)
    lowest, highest = _SQUARES
    return isinstance(look, _blinding.DoubleLook) or lowest <= look.total / count <= highest


def _diverged() -> KakuriError:
    return KakuriError(
        "KK-O32",
        "the training diverged: a product is not finite",
        hint="lower the learning rate, or clip gradients (plan with clipping=True)",
    )


def _rows(x: Tensor) -> NDArray[Any]:
    """As the kernels take it fastest."""
    array: NDArray[Any] = x.detach().contiguous().numpy()
    return array
