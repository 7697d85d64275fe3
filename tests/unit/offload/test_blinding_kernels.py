"""The kernels against their definition in exact integers and plain torch, on every path the processor has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from kakuri import _blinding

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
    of_rows, of_columns = words(2 * (b + added), seed), words(2 * n, seed + 1)
    rows, columns = _blinding.Mixing(of_rows), _blinding.Mixing(of_columns)
    p, q = mixing_matrix(of_rows), mixing_matrix(of_columns)
    x, more = torch.randn(b, n, dtype=dtype), torch.randn(added, n, dtype=dtype)
    out, back = torch.full((b + added, n), torch.nan, dtype=dtype), torch.full((b, n), torch.nan, dtype=dtype)
    _blinding.mix(x, rows, columns, out, more, threads=threads)
    assert close(out, p @ torch.cat([x, more]).double() @ q.T)
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
    sums_are_right(x, 1)
    assert _blinding.kernel_path() == path


def sums_are_right(x: Tensor, threads: int) -> None:
    (b, n), wide = x.shape, x.double()
    probes, weights = torch.randn(3, n, dtype=torch.float64), torch.rand(2, n, dtype=torch.float64)
    dots, squares = _blinding.row_sums(x, probes, weights, threads=threads)
    exact = torch.cat([wide.square() @ weights.T, wide.square().sum(1, keepdim=True)], 1)
    assert torch.allclose(torch.from_numpy(dots), wide @ probes.T, atol=1e-10)
    assert torch.allclose(torch.from_numpy(squares), exact, atol=1e-10)
    factors, by_row = torch.randn(b, 2, dtype=torch.float64), torch.rand(b, dtype=torch.float64)
    sums, noise = _blinding.column_sums(x, factors, by_row, threads=threads)
    assert torch.allclose(torch.from_numpy(sums), factors.T @ wide, atol=1e-10)
    assert torch.allclose(torch.from_numpy(noise), by_row @ wide.square(), atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(b=sizes, n=sizes, seed=seeds)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums(dtype: torch.dtype, b: int, n: int, seed: int) -> None:
    torch.manual_seed(seed)
    sums_are_right(torch.randn(b, n, dtype=dtype), 1)


def test_threads_share_large_matrices() -> None:
    x = torch.randn(700, 300)
    sums_are_right(x, 2)
    rows, columns = _blinding.Mixing(words(1400, 1)), _blinding.Mixing(words(600, 2))
    alone, shared = torch.empty_like(x), torch.empty_like(x)
    _blinding.mix(x, rows, columns, alone)
    _blinding.mix(x, rows, columns, shared, threads=3)
    assert torch.equal(alone, shared)


def test_the_worst_residual_and_what_is_not_a_number() -> None:
    y, probes = torch.randn(20, 30), torch.randn(2, 30, dtype=torch.float64)
    expected = y.double() @ probes.T + 0.1 * torch.randn(20, 2, dtype=torch.float64)
    base = 0.5 + torch.rand(20, dtype=torch.float64)
    squares = y.double().square().sum(1)
    variance = base + 0.3 * (squares + 4.0 * squares.mean())
    exact = float(((y.double() @ probes.T - expected).square() / variance[:, None]).max())
    assert _blinding.worst_residual(y, probes, expected, base, scale=0.3, share=4.0) == pytest.approx(exact)
    nothing = torch.zeros(20, dtype=torch.float64)
    assert _blinding.worst_residual(0 * y, probes, 0 * expected, nothing, scale=0.3, share=0.0) == 0.0
    for bad in (torch.nan, torch.inf, -torch.inf):
        for place in (y, expected, base):
            kept = place.flatten()[0].item()
            place.view(-1)[0] = bad
            assert _blinding.worst_residual(y, probes, expected, base, scale=0.3, share=0.0) == float("inf")
            place.view(-1)[0] = kept


def test_wrong_shapes_and_types_are_refused() -> None:
    x = torch.randn(4, 6)
    rows, columns = _blinding.Mixing(words(8, 1)), _blinding.Mixing(words(12, 2))
    order, other = _blinding.Reordering(words(4, 1)), _blinding.Reordering(words(6, 1))
    probes, weights = torch.zeros(2, 6, dtype=torch.float64), torch.zeros(1, 6, dtype=torch.float64)
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
    with pytest.raises(ValueError, match="columns differ"):
        _blinding.row_sums(x, probes[:, :5].contiguous(), weights)
    with pytest.raises(ValueError, match="too many"):
        _blinding.row_sums(x, torch.zeros(33, 6, dtype=torch.float64), weights)
    with pytest.raises(ValueError, match="rows differ"):
        _blinding.column_sums(x, torch.zeros(3, 2, dtype=torch.float64), torch.zeros(4, dtype=torch.float64))
    for wrong_type in (x.double(), x.half(), torch.empty(6, 4).T):
        with pytest.raises(TypeError):
            _blinding.mix(x, rows, columns, wrong_type)
    with pytest.raises(ValueError, match="path"):
        _blinding.set_kernel_path("abacus")
