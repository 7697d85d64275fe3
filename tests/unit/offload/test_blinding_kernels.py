"""The kernels against their definition in exact integers and plain torch, on every path the processor has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from kakuri import _blinding
from kakuri.offload.sgd import SgdStep, update

DTYPES = (torch.float32, torch.float64)
sizes = st.one_of(st.integers(1, 20), st.integers(1, 200))
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(params=_blinding.available_kernel_paths())
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each path in turn; the fastest again at the end."""
    _blinding.set_kernel_path(request.param)
    yield request.param
    _blinding.set_kernel_path(_blinding.available_kernel_paths()[0])


def words(count: int, seed: int) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def drawn(own: NDArray[np.uint64]) -> tuple[list[int], list[float]]:
    """Fisher and Yates from the upper 63 bits, signs from the lowest, in integers."""
    index = list(range(len(own)))
    for i in range(len(own), 0, -1):
        at = (int(own[i - 1]) >> 1) * i >> 63
        index[i - 1], index[at] = index[at], index[i - 1]
    return index, [-1.0 if int(word) & 1 else 1.0 for word in own]


def hadamard_blocks(size: int) -> Tensor:
    blocks, block = [], 64
    while size:
        if block <= size:
            matrix = torch.ones(1, 1, dtype=torch.float64)
            while len(matrix) < block:
                matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
            blocks.append(matrix / block**0.5)
            size -= block
        else:
            block //= 2
    return torch.block_diag(*blocks)


def mixing_matrix(own: NDArray[np.uint64]) -> Tensor:
    """M with x -> M x for a column x, from the definition."""
    size = len(own) // 2
    total = torch.eye(size, dtype=torch.float64)
    for half in (own[:size], own[size:]):
        index, sign = drawn(half)
        total = hadamard_blocks(size) @ (torch.tensor(sign)[:, None] * total[index])
    return total


def close(ours: Tensor, exact: Tensor) -> bool:
    tolerance = 2e-5 if ours.dtype == torch.float32 else 1e-12
    return bool(torch.allclose(ours.double(), exact, rtol=0, atol=tolerance * (1 + float(exact.abs().max()))))


@settings(max_examples=15, deadline=None)
@given(b=sizes, n=sizes, added=st.integers(0, 9), threads=st.integers(1, 3), seed=seeds)
@pytest.mark.parametrize("dtype", DTYPES)
def test_mixing_is_its_definition_and_undoes_itself(  # noqa: PLR0917
    dtype: torch.dtype, b: int, n: int, added: int, threads: int, seed: int
) -> None:
    torch.manual_seed(seed)
    of_rows, of_columns = words(2 * (b + 2 * added), seed), words(2 * n, seed + 1)
    rows, columns = _blinding.Mixing(of_rows), _blinding.Mixing(of_columns)
    p, q = mixing_matrix(of_rows), mixing_matrix(of_columns)
    x, sign = torch.randn(b, n, dtype=dtype), -1.0 if seed % 2 else 1.0
    shields = words(added * n, seed + 2).astype(np.int32).reshape(added, n)
    noise = torch.from_numpy(shields).double() * 2.0**-31
    out, back = torch.full((b + 2 * added, n), torch.nan, dtype=dtype), torch.full((b, n), torch.nan, dtype=dtype)
    _blinding.mix(x, rows, columns, out, shields, scale=2.0**-31, sign=sign, threads=threads)
    assert close(out, p @ torch.cat([x.double(), noise, sign * noise]) @ q.T)
    _blinding.undo_mix(out, rows, columns, back, threads=threads)
    assert close(back, x.double())
    columns.columns(x, back)
    assert close(back, x.double() @ q.T)
    mixed = back.clone()
    columns.columns(mixed, back, undo=True)
    assert close(back, x.double())


@settings(max_examples=15, deadline=None)
@given(b=sizes, n=sizes, seed=seeds, dual=st.booleans())
@pytest.mark.parametrize("dtype", DTYPES)
def test_reordering_is_its_definition_and_undoes_itself(
    dtype: torch.dtype, b: int, n: int, seed: int, dual: bool
) -> None:
    torch.manual_seed(seed)
    of_rows, of_columns = words(b, seed), words(n, seed + 1)
    scale = 0.5 + torch.rand(b, dtype=torch.float64)
    rows, columns = _blinding.Reordering(of_rows, scale), _blinding.Reordering(of_columns)
    x = torch.randn(b, n, dtype=dtype)
    out, back = torch.empty_like(x), torch.empty_like(x)
    _blinding.reorder(x, rows, columns, out, dual=dual)
    order, (column_order, sign) = drawn(of_rows)[0], drawn(of_columns)
    factor = (1 / scale if dual else scale)[:, None] * torch.tensor(sign)
    assert close(out, x.double()[order][:, column_order] * factor)
    _blinding.reorder(out, rows, columns, back, undo=True, dual=dual)
    assert close(back, x.double())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (70, 200), (64, 65), (17, 700)])
def test_every_path_agrees_with_the_definitions(path: str, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    b, n = shape
    x = torch.randn(b, n, dtype=dtype)
    of_rows, of_columns = words(2 * b, 1), words(2 * n, 2)
    rows, columns = _blinding.Mixing(of_rows), _blinding.Mixing(of_columns)
    out, back = torch.empty_like(x), torch.empty_like(x)
    _blinding.mix(x, rows, columns, out)
    assert close(out, mixing_matrix(of_rows) @ x.double() @ mixing_matrix(of_columns).T)
    _blinding.undo_mix(out, rows, columns, back)
    assert close(back, x.double())
    order, (column_order, sign) = drawn(of_rows[:b])[0], drawn(of_columns[:n])
    _blinding.reorder(
        x, _blinding.Reordering(of_rows[:b], np.ones(b)), _blinding.Reordering(of_columns[:n]), out, undo=False
    )
    assert close(out, x.double()[order][:, column_order] * torch.tensor(sign))
    look_is_right(x, lambda look: _blinding.look_at(x, look))
    assert _blinding.kernel_path() == path


Meeting = _blinding.SingleMeeting | _blinding.DoubleMeeting
KINDS = {
    torch.float32: (_blinding.SingleLook, _blinding.SingleMeeting),
    torch.float64: (_blinding.DoubleLook, _blinding.DoubleMeeting),
}


def meeting_of(n: int, dtype: torch.dtype, share: float = 4.0) -> tuple[Meeting, Tensor, Tensor]:
    """A meeting of two probes and two of the other side, its four probes, and its two weights by their definition."""
    w, across = torch.randn(2, n).double(), torch.randn(2, n).double()
    norms, noise = torch.rand(n, dtype=torch.float64) + 0.5, torch.rand(n, dtype=torch.float64)
    meeting = KINDS[dtype][1](w, across, norms, noise.numpy(), 80.0, share)
    norm = torch.maximum(norms, w.square().mean(0))
    rounding, drift = 10.0 * (norm + norm.mean()), noise + 5 * norm
    return meeting, torch.cat([w, across]), torch.stack([rounding, drift + share * drift.mean()])


def close_sums(found: NDArray[np.float64], exact: Tensor, scale: float, dtype: torch.dtype) -> bool:
    tolerance = (3e-6 if dtype == torch.float32 else 1e-13) * scale
    return bool(np.allclose(found, exact.numpy(), rtol=0, atol=tolerance))


def look_is_right(
    x: Tensor, take: Callable[[_blinding.Look], None], seen: Tensor | None = None, *, sums: bool = True
) -> None:
    """A look taken by ``take`` at x, or at ``seen`` instead: products with probes, weighted squares, and sums over
    rows."""
    seen = x if seen is None else seen
    (b, n), wide, (look_type, _) = seen.shape, seen.double(), KINDS[x.dtype]
    meeting, probes, weights = meeting_of(n, x.dtype)
    other_meeting, _, _ = meeting_of(5, x.dtype)
    y = torch.randn(b, 5, dtype=x.dtype)
    other = look_type(b, 5, other_meeting)
    _blinding.look_at(y, other)
    look = look_type(b, n, meeting)
    if sums and b % 2:
        look.add_columns(other)
    elif sums:
        look.add_factors(other.dots[2:].copy(), other.squares[-1].copy())
    take(look)
    squares = wide.square()
    scale = float(squares.sum().sqrt()) + 1.0
    assert close_sums(look.dots, probes @ wide.T, scale, x.dtype)
    assert close_sums(look.squares[0] * meeting.of_rounding, squares @ weights[0], scale**2 * 30, x.dtype)
    assert close_sums(look.squares[1] * meeting.of_drift, squares @ weights[1], scale**2 * 30, x.dtype)
    assert close_sums(look.squares[2], squares.sum(1), scale**2, x.dtype)
    assert look.total == pytest.approx(float(squares.sum()), rel=1e-5)
    assert look.seconds >= 0
    crossed = look.crossed()
    assert (crossed is not None) == sums
    if crossed is None:
        return
    factors = torch.from_numpy(other.dots[2:]).double()
    assert close_sums(crossed[0], factors @ wide, 10 * scale * (1 + b**0.5), x.dtype)
    assert close_sums(crossed[1], y.double().square().sum(1) @ squares, 30 * scale**2 * (1 + b), x.dtype)


@settings(max_examples=15, deadline=None)
@given(b=sizes, n=sizes, seed=seeds)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_look_is_its_definition(dtype: torch.dtype, b: int, n: int, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(b, n, dtype=dtype)
    look_is_right(x, lambda look: _blinding.look_at(x, look))


@settings(max_examples=10, deadline=None)
@given(b=sizes, n=sizes, added=st.integers(0, 9), threads=st.integers(1, 3), seed=seeds)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_look_that_rides_on_blinding_sees_plain_columns_in_the_rows_of_the_worker(  # noqa: PLR0917
    dtype: torch.dtype, b: int, n: int, added: int, threads: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x, shields = torch.randn(b, n, dtype=dtype), np.ones((added, n), np.int32)
    of_rows = words(2 * (b + 2 * added), seed)
    rows, columns = _blinding.Mixing(of_rows), _blinding.Mixing(words(2 * n, seed + 1))
    out, back = torch.empty(b + 2 * added, n, dtype=dtype), torch.empty_like(x)
    mixed = mixing_matrix(of_rows) @ torch.cat([x.double(), torch.ones(2 * added, n)])
    look_is_right(
        x, lambda look: _blinding.mix(x, rows, columns, out, shields, scale=1.0, look=look, threads=threads), mixed
    )
    look_is_right(
        x, lambda look: _blinding.undo_mix(out, rows, columns, back, look=look, threads=threads), mixed, sums=False
    )
    scale = np.random.default_rng(seed).random(b) + 0.5
    order, signs = _blinding.Reordering(words(b, seed), scale), _blinding.Reordering(words(n, seed + 1))
    out, permuted = torch.empty_like(x), x[torch.from_numpy(order.order).long()]
    look_is_right(x, lambda look: _blinding.reorder(x, order, signs, out, look=look, threads=threads), permuted)

    def undo(look: _blinding.Look) -> None:
        _blinding.reorder(out, order, signs, back, undo=True, look=look, threads=threads)

    look_is_right(x, undo, permuted, sums=False)


def test_threads_share_large_matrices() -> None:
    x = torch.randn(700, 300)
    look_is_right(x, lambda look: _blinding.look_at(x, look, threads=2))
    rows, columns = _blinding.Mixing(words(1400, 1)), _blinding.Mixing(words(600, 2))
    alone, shared = torch.empty_like(x), torch.empty_like(x)
    _blinding.mix(x, rows, columns, alone)
    _blinding.mix(x, rows, columns, shared, threads=3)
    assert torch.equal(alone, shared)


def test_without_mixing_rounding_and_drift_are_one_weight() -> None:
    torch.manual_seed(0)
    w, across, x = torch.randn(2, 9).double(), torch.randn(2, 9).double(), torch.randn(4, 9)
    norms, noise = torch.rand(9, dtype=torch.float64) + 5.0, torch.rand(9, dtype=torch.float64)
    meeting = _blinding.SingleMeeting(w, across, norms, noise.numpy(), 8.0, 0.0)
    look = _blinding.SingleLook(4, 9, meeting)
    _blinding.look_at(x, look)
    assert look.squares.shape == (2, 4)
    exact = x.double().square() @ (norms + noise + 5.0 * norms)
    assert np.allclose(look.squares[0] * meeting.of_rounding, exact.numpy(), rtol=1e-5)


@pytest.mark.parametrize("of_x", DTYPES)
@pytest.mark.parametrize("of_y", DTYPES)
def test_the_worst_residual_and_what_is_not_a_number(of_x: torch.dtype, of_y: torch.dtype) -> None:
    x, y = torch.randn(20, 9, dtype=of_x), torch.randn(20, 30, dtype=of_y)
    meeting, probes, weights = meeting_of(9, of_x)
    answer_probes = torch.randn(2, 30, dtype=torch.float64).float().double()
    answer_meeting = KINDS[of_y][1](answer_probes)

    def worst(x: Tensor, y: Tensor) -> float:
        seen, answer = KINDS[of_x][0](20, 9, meeting), KINDS[of_y][0](20, 30, answer_meeting)
        _blinding.look_at(x, seen)
        _blinding.look_at(y, answer)
        return _blinding.worst_residual(seen, answer, of_answer=0.3, share=4.0)

    residual = y.double() @ answer_probes.T - (x.double() @ probes.T)[:, :2]
    shared = x.double().square() @ weights[0] + 0.3 * y.double().square().sum(1)
    variance = shared + 4.0 * shared.mean() + x.double().square() @ weights[1]
    assert worst(x, y) == pytest.approx(float((residual.square() / variance[:, None]).max()), rel=1e-3)
    assert worst(0 * x, 0 * y) == 0.0
    for bad in (torch.nan, torch.inf, -torch.inf):
        for place in (x, y):
            kept = place.flatten()[0].item()
            place.view(-1)[0] = bad
            assert worst(x, y) == float("inf")
            place.view(-1)[0] = kept


def test_how_noise_grows_in_a_step() -> None:
    w, velocity, gradient = (np.random.default_rng(i).standard_normal((2, 7)) for i in range(3))
    norms, g_noise = np.random.default_rng(3).random((2, 7))
    w_noise, v_noise = np.full(7, 2.0), np.full(7, 3.0)
    step = _blinding.Step(0.05, 0.9, 0.0, 0.1, 2.0, False, False)
    _blinding.take_step(w, velocity, gradient, norms, w_noise, v_noise, g_noise, False, step)
    norm = np.maximum(norms, np.square(w).mean(0))
    grown = 0.81 * 3.0 + 4.0 * g_noise + 0.01 * (2.0 + norm) + 2.0 * np.square(velocity).mean(0)
    assert np.allclose(v_noise, grown)
    assert np.allclose(w_noise, 2.0 + 0.25 * grown + norm)


@given(
    momentum=st.sampled_from([0.0, 0.9]),
    dampening=st.sampled_from([0.0, 0.3]),
    decay=st.sampled_from([0.0, 0.1]),
    scale=st.sampled_from([1.0, 0.4]),
    nesterov=st.booleans(),
    maximize=st.booleans(),
)
def test_a_fingerprint_moves_as_a_weight_does(  # noqa: PLR0917
    momentum: float, dampening: float, decay: float, scale: float, nesterov: bool, maximize: bool
) -> None:
    step = SgdStep(0.05, momentum, dampening, decay, scale, nesterov, maximize)
    native = _blinding.Step(*step.floats(), step.nesterov, step.maximize)
    weight = torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(2, 5)
    velocity: Tensor | None = None
    w, v = weight.numpy().copy(), np.full((2, 5), np.nan) if momentum else None
    none = np.zeros((4, 5))
    for number in range(3):
        gradient = torch.sin(weight * (number + 2))
        _blinding.take_step(w, v, gradient.numpy(), *none, number == 0, native)
        velocity = update(weight, velocity, gradient, step)
    assert np.allclose(w, weight.numpy(), rtol=1e-13)
    assert v is None or (velocity is not None and np.allclose(v, velocity.numpy(), rtol=1e-13))


@given(b=sizes, n=sizes, factors=st.integers(1, 9), threads=st.integers(1, 3), seed=seeds)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_over_rows_alone(  # noqa: PLR0917
    dtype: torch.dtype, b: int, n: int, factors: int, threads: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x, factor, squares = (
        torch.randn(b, n, dtype=dtype),
        torch.randn(factors, b, dtype=dtype),
        torch.rand(b, dtype=dtype),
    )
    look = KINDS[dtype][0](b, n)
    look.add_factors(factor.numpy(), squares.numpy())
    _blinding.look_at(x, look, threads=threads)
    crossed, wide = look.crossed(), x.double()
    assert crossed is not None
    assert close_sums(crossed[0], factor.double() @ wide, 10 * (1 + b**0.5), dtype)
    assert close_sums(crossed[1], squares.double() @ wide.square(), 30 * (1 + b), dtype)


@given(n=sizes, m=sizes, k=st.integers(1, 5), share=st.sampled_from([0.0, 4.0]), seed=seeds)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_agrees_within_its_variance(  # noqa: PLR0917
    dtype: torch.dtype, n: int, m: int, k: int, share: float, seed: int
) -> None:
    torch.manual_seed(seed)
    gradient = torch.randn(n, m, dtype=dtype)
    r, q = torch.randn(k, m).double(), torch.randn(k, n).double()
    front, back = r @ gradient.double().T, q @ gradient.double()
    front_noise, back_noise = torch.rand(n, dtype=torch.float64), torch.rand(m, dtype=torch.float64)

    def found(front: Tensor | None, back: Tensor) -> object:
        given = None if front is None else front.numpy()
        tables = r.numpy(), q.numpy(), given, front_noise.numpy(), back.numpy(), back_noise.numpy()
        return _blinding.gradient_agrees(gradient.numpy(), *tables, of_squares=2.0, share=share, limit=1e-6)

    for known in (front, None):
        right = found(known, back)
        assert isinstance(right, tuple)
        assert np.allclose(right[0], front.numpy(), rtol=1e-12, atol=1e-12)
        assert np.allclose(right[1], back.numpy(), rtol=1e-12, atol=1e-12)
    row, column, probe = (int(torch.randint(size, ())) for size in (n, m, k))
    for table, noise, squares, at in (
        (front, front_noise, gradient.double().square().sum(1), row),
        (back, back_noise, gradient.double().square().sum(0), column),
    ):
        variance = noise + 2.0 * squares
        limit = (1e-6 * (variance[at] + share * variance.mean())).sqrt()
        for factor, passes in ((0.9, True), (1.1, False), (torch.nan, False)):
            wrong = table.clone()
            wrong[probe, at] += factor * limit
            assert (found(wrong if table is front else front, wrong if table is back else back) is not None) == passes


def test_the_variance_of_a_gradient() -> None:
    torch.manual_seed(0)
    x, factor, squares = torch.randn(30, 7), torch.randn(3, 30), torch.rand(30)
    look = _blinding.SingleLook(30, 7)
    look.add_factors(factor.numpy(), squares.numpy())
    _blinding.look_at(x, look)
    crossed, gradient = look.crossed(), look.gradient(2.0, 0.5)
    assert crossed is not None
    assert gradient is not None
    assert np.array_equal(crossed[0], gradient[0])
    own = np.square(crossed[0])
    assert np.allclose(gradient[1], 2.0 * crossed[1] + 0.5 * (own.max(axis=0) + own.mean()))
    assert _blinding.SingleLook(30, 7, meeting_of(7, torch.float32)[0]).gradient(1.0, 1.0) is None


@pytest.mark.parametrize("rides", [False, True])
def test_sums_of_many_equal_terms_do_not_drift(rides: bool) -> None:
    """Each addition to a sum of equal terms errs by the same amount. A background pixel, seen by all pictures."""
    b, n = 200_000, 3
    x = torch.full((b, n), -0.4242)
    factor, squares = np.full((1, b), 0.1234567, np.float32), np.ones(b, np.float32)
    look = _blinding.SingleLook(b, n, meeting_of(n, torch.float32)[0] if rides else None)
    look.add_factors(factor, squares)
    _blinding.look_at(x, look)
    crossed = look.crossed()
    assert crossed is not None
    assert np.allclose(crossed[0][0], b * float(x[0, 0]) * float(factor[0, 0]), rtol=40 * 2.0**-24)


def test_wrong_shapes_and_types_are_refused() -> None:
    x = torch.randn(4, 6)
    rows, columns = _blinding.Mixing(words(8, 1)), _blinding.Mixing(words(12, 2))
    order, other = _blinding.Reordering(words(4, 1)), _blinding.Reordering(words(6, 1))
    for wrong in (torch.empty(4, 5), torch.empty(5, 6), torch.empty(0, 6)):
        with pytest.raises(ValueError, match="shape"):
            _blinding.mix(x, rows, columns, wrong)
        with pytest.raises(ValueError, match="shape"):
            _blinding.mix(wrong, rows, columns, torch.empty(4, 6))
        with pytest.raises(ValueError, match="shape"):
            _blinding.reorder(wrong, order, other, torch.empty_like(wrong))
    with pytest.raises(ValueError, match="rows"):
        _blinding.undo_mix(x, rows, columns, torch.empty(5, 6))
    with pytest.raises(ValueError, match="odd"):
        _blinding.Mixing(words(3, 1))
    with pytest.raises(ValueError, match="length"):
        _blinding.Reordering(words(3, 1), np.ones(4))
    meeting, _, _ = meeting_of(6, torch.float32)
    look = _blinding.SingleLook(4, 6, meeting)
    with pytest.raises(ValueError, match="columns"):
        _blinding.SingleLook(4, 5, meeting)
    for wrong in (torch.empty(4, 5), torch.empty(5, 6)):
        with pytest.raises(ValueError, match="another shape"):
            _blinding.look_at(wrong, look)
    with pytest.raises(ValueError, match="another shape"):
        _blinding.mix(x, rows, columns, torch.empty(4, 6), look=_blinding.SingleLook(3, 6, meeting))
    with pytest.raises(ValueError, match="too many"):
        _blinding.SingleMeeting(torch.zeros(17, 6, dtype=torch.float64))
    with pytest.raises(ValueError, match="rows differ"):
        look.add_columns(_blinding.SingleLook(3, 6, meeting))
    with pytest.raises(ValueError, match="no probes"):
        look.add_columns(_blinding.SingleLook(4, 6))
    with pytest.raises(ValueError, match="rows differ"):
        look.add_factors(np.ones((2, 4), np.float32), np.ones(3, np.float32))
    with pytest.raises(ValueError, match="no factors"):
        look.add_factors(np.ones((0, 4), np.float32), np.ones(4, np.float32))
    look.add_factors(np.ones((2, 4), np.float32), np.ones(4, np.float32))
    with pytest.raises(ValueError, match="not of what is undone"):
        _blinding.undo_mix(x, rows, columns, torch.empty(4, 6), look=look)
    with pytest.raises(ValueError, match="not of what is undone"):
        _blinding.reorder(x, order, other, torch.empty(4, 6), undo=True, look=look)
    step, one, two = _blinding.Step(0.1, 0.0, 0.0, 0.0, 1.0, False, False), np.ones((1, 6)), np.ones(6)
    with pytest.raises(ValueError, match="gradient has another shape"):
        _blinding.take_step(one, None, np.ones((1, 5)), two, two, two, two, True, step)
    with pytest.raises(ValueError, match="velocity has another shape"):
        _blinding.take_step(one, np.ones((2, 6)), one, two, two, two, two, True, step)
    with pytest.raises(ValueError, match="columns differ"):
        _blinding.take_step(one, None, one, two, two, np.ones(7), two, True, step)
    with pytest.raises(ValueError, match="too many"):
        _blinding.take_step(np.ones((17, 6)), None, np.ones((17, 6)), two, two, two, two, True, step)
    for shapes in ((5, 4, 6, 4, 6), (6, 5, 6, 4, 6), (6, 4, 5, 4, 6), (6, 4, 6, 5, 6), (6, 4, 6, 4, 5)):
        r, q, back, front_noise, back_noise = (np.ones((1, size)) for size in shapes)
        with pytest.raises(ValueError, match="another s"):
            _blinding.gradient_agrees(
                x, r, q, None, front_noise[0], back, back_noise[0], of_squares=1.0, share=0.0, limit=1.0
            )
    with pytest.raises(ValueError, match="probes differ"):
        _blinding.worst_residual(look, look, of_answer=1.0, share=0.0)
    for wrong_type in (x.double(), x.half(), torch.empty(6, 4).T):
        with pytest.raises(TypeError):
            _blinding.mix(x, rows, columns, wrong_type)
    with pytest.raises(ValueError, match="path"):
        _blinding.set_kernel_path("abacus")
