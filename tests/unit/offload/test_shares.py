"""T3: arithmetic modulo 2^64, exactness within the stated bound, what one worker sees, wrong and lost workers."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kakuri import offload
from kakuri.errors import KakuriError
from kakuri.offload import ring
from kakuri.offload.core import Core
from kakuri.offload.integer_check import is_right, part_is_right, secret_prime
from kakuri.offload.masks import MaskKey, MaskStream
from kakuri.offload.tiers import AdditiveShares
from kakuri.offload.transport.frames import Message, Op
from kakuri.trust import SystemEntropy

from .networks import Change, Convolutional, InProcess, Transformer, batches, largest_difference, train

SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}
LOW, HIGH = -(2**63), 2**63 - 1


def stream(name: str = "test") -> MaskStream:
    return MaskKey(SystemEntropy()).stream(name)


def uniform(rows: int, columns: int) -> Tensor:
    return torch.from_numpy(stream().words(rows * columns).view(np.int64).copy()).view(rows, columns)


def exact(a: Tensor, b: Tensor) -> list[list[int]]:
    """The product in Python's integers."""
    columns = list(zip(*b.tolist(), strict=True))
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in a.tolist()]


def wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 3), st.sampled_from([0, LOW, HIGH, -1, None]))
def test_products_modulo_two_to_the_64(p: int, q: int, r: int, value: int | None) -> None:
    a, b = uniform(p, q), uniform(q, r)
    if value is not None:
        a.fill_(value)
    expected = [[wrapped(x) for x in row] for row in exact(a, b)]
    assert ring.product(a, b).tolist() == expected


def test_long_sums_stay_exact() -> None:
    a = torch.full((1, 3000), -1, dtype=torch.int64)  # all limbs at their largest
    assert ring.product(a, a.T).item() == 3000
    assert ring.product(uniform(0, 5), uniform(5, 2)).shape == (0, 2)


def test_a_seed_stands_for_one_uniform_matrix() -> None:
    seed = stream().child_key()
    first = ring.expand(seed, (300, 40))
    assert torch.equal(first, ring.expand(ring.seed_from(ring.seed_numbers(seed)), (300, 40)))
    assert not torch.equal(first, ring.expand(stream().child_key(), (300, 40)))
    bits = np.unpackbits(first.numpy().view(np.uint8))
    assert abs(bits.mean() - 0.5) < 6 * 0.5 / math.sqrt(len(bits))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 200),
    st.integers(1, 6),
    st.floats(-300, 300),
    st.floats(-300, 300),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
)
def test_the_stated_bound_holds(  # noqa: PLR0917
    p: int, q: int, r: int, left: float, right: float, dtype: torch.dtype, uneven: bool
) -> None:
    span = 30 if dtype == torch.float32 else 300
    a, b = (torch.randn(shape).to(dtype) for shape in ((p, q), (q, r)))
    a, b = a * 10.0 ** (left * span / 300 / 2), b * 10.0 ** (right * span / 300 / 2)
    if uneven:
        a[0] *= 1e-6
    shares = AdditiveShares()
    norms = float(a.double().norm(dim=1).max()), float(b.double().norm(dim=0).max())
    f, g = (shares.exponent(norm) for norm in norms)
    whole = ring.product(shares.encode(a, f), shares.encode(b, g))
    assert whole.abs().max() <= 2**62 + 2**45
    expected = a.double() @ b.double()
    bound = 2.0**-29 * math.sqrt(q) * norms[0] * norms[1]
    found = shares.decode(whole, f, g, torch.float64)
    assert float((found - expected).abs().max()) <= bound * (1 + 1e-6)


def test_extreme_operands() -> None:
    shares = AdditiveShares()
    for norm in (0.0, 5e-324, 1e-310, 1.0, 2.0**31, 1.7e308):
        assert norm * 2.0 ** shares.exponent(norm) <= 2.0**31
    for norm in (math.inf, math.nan):
        with pytest.raises(KakuriError, match="KK-O32"):
            shares.exponent(norm)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 30), st.integers(1, 5), st.data())
def test_one_wrong_entry_is_seen_and_right_products_never_are(p: int, q: int, r: int, data: st.DataObject) -> None:
    a, b = torch.randint(-(2**29), 2**29, (p, q)), torch.randint(-(2**26), 2**26, (q, r))
    y = ring.product(a, b)
    assert is_right(a, b, y, stream())
    error = data.draw(st.sampled_from([1, -1, 2**31 - 1, 2**32, 3 * (2**31 - 1), 2**62]))
    wrong = y.clone()
    wrong[data.draw(st.integers(0, p - 1)), data.draw(st.integers(0, r - 1))] += error
    assert not is_right(a, b, wrong, stream())
    assert part_is_right(a, b, y, stream())
    assert not part_is_right(a, b, wrong, stream())


def test_secret_primes_are_primes_and_differ() -> None:
    drawn = [secret_prime(stream()) for _ in range(40)]
    assert len(set(drawn)) > 35
    for p in drawn:
        assert 2**30 < p < 2**31
        assert all(p % divisor for divisor in range(2, math.isqrt(p) + 1, 1))


def places(count: int = 4, change: Change | None = None, wrong: int = 0) -> list[InProcess]:
    return [InProcess(f"worker {index}", change if index == wrong else None) for index in range(count)]


def trained(start: torch.nn.Module, workers: list[InProcess], steps: int = 4) -> Any:
    module = copy.deepcopy(start)
    plan = offload.plan(module, tier="T3", master="process", workers=offload.Pool(list(workers)))
    model, optimizer, _ = plan.build(torch.optim.SGD(module.parameters(), **SGD))
    losses = train(model, optimizer, batches(steps))
    return model, losses


@pytest.mark.parametrize("make", [Convolutional, Transformer])
def test_training_on_shares_is_plain_training(make: type[torch.nn.Module]) -> None:
    start = make()
    model, losses = trained(start, places())
    plain = copy.deepcopy(start)
    assert losses == pytest.approx(train(plain, torch.optim.SGD(plain.parameters(), **SGD), batches(4)), rel=1e-5)
    assert largest_difference(model, plain) < 2e-5
    counters = offload.session_of(model).counters
    assert counters.incidents == 0
    assert counters.offloaded_flops > 0
    assert counters.weight_blindings == 0


def test_any_optimizer_works_on_shares() -> None:
    start = Transformer()
    plain, ours = copy.deepcopy(start), copy.deepcopy(start)
    plan = offload.plan(ours, tier="T3", master="process", workers=offload.Pool(list(places())))
    model, optimizer, _ = plan.build(torch.optim.AdamW(ours.parameters(), lr=1e-3))
    expected = train(plain, torch.optim.AdamW(plain.parameters(), lr=1e-3), batches(3))
    assert train(model, optimizer, batches(3)) == pytest.approx(expected, rel=1e-4)


def test_four_real_processes(workers: offload.Pool) -> None:
    with offload.Pool.open("local:2") as more:
        together = offload.Pool([*workers.places, *more.places])
        start = Convolutional()
        module = copy.deepcopy(start)
        plan = offload.plan(module, tier="T3", master="process", workers=together)
        model, optimizer, _ = plan.build(torch.optim.SGD(module.parameters(), **SGD))
        train(model, optimizer, batches(2))
        train(start, torch.optim.SGD(start.parameters(), **SGD), batches(2))
        assert largest_difference(model, start) < 2e-5
        assert not any(place.quarantined for place in together.places)
        offload.session_of(model).close()


def test_no_worker_is_given_both_shares_and_what_it_gets_is_uniform() -> None:
    workers = places(5)
    start = Convolutional()
    trained(start, workers, steps=3)
    for worker in workers:
        asked = [message for message in worker.asked if message.op is Op.MULTIPLY_SHARES]
        tensors = [tensor for message in asked for tensor in message.tensors]
        seeds = [message.integers[i : i + 4] for message in asked for i in range(5, len(message.integers), 4)]
        assert len(asked) > 10
        assert len(set(seeds)) == len(seeds)  # no seed serves twice
        values = torch.cat([tensor.flatten() for tensor in tensors]).numpy() if tensors else np.zeros(0, np.int64)
        if len(values):
            bits = np.unpackbits(values.view(np.uint8)).reshape(-1, 8)
            deviation = np.abs(bits.mean(0) - 0.5).max()
            assert deviation < 6 * 0.5 / math.sqrt(len(bits))
    by_product: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    total: dict[str, int] = {}
    for worker in workers:
        for message in worker.asked:
            total[worker.name] = total.get(worker.name, 0) + 1
            by_product.setdefault(message.integers[:3], []).append((message.integers[3], message.integers[4]))
    for roles in by_product.values():  # as many workers in each of the four roles
        assert all(roles.count(role) * 4 == len(roles) for role in ((0, 0), (0, 1), (1, 0), (1, 1)))


def spoiled(request: Message, answer: Message) -> Message:
    if request.op is not Op.MULTIPLY_SHARES:
        return answer
    (y,) = answer.tensors
    y[0, 0] += 1 << 20
    return Message(Op.DONE, tensors=(y,))


def of_another_size(request: Message, answer: Message) -> Message:
    return Message(Op.DONE, tensors=(torch.zeros(1, 1, dtype=torch.int64),))


def as_floats(request: Message, answer: Message) -> Message:
    return Message(Op.DONE, tensors=tuple(tensor.double() for tensor in answer.tensors))


@pytest.mark.parametrize("change", [spoiled, of_another_size, as_floats])
@pytest.mark.parametrize("wrong", [0, 3])
@pytest.mark.parametrize("count", [4, 5])
def test_a_wrong_worker_is_found_and_left(change: Change, wrong: int, count: int) -> None:
    start = Convolutional()
    workers = places(count, change, wrong)
    model, _ = trained(start, workers)
    plain = copy.deepcopy(start)
    train(plain, torch.optim.SGD(plain.parameters(), **SGD), batches(4))
    assert largest_difference(model, plain) < 2e-5
    assert [place.quarantined for place in workers] == [index == wrong for index in range(count)]
    alone = sum(1 for message in workers[(wrong + 1) % count].asked if message.op is Op.MULTIPLY_SHARES)
    assert (alone < 5) == (count == 4)  # with three left the master computes


def test_what_a_plan_with_shares_refuses() -> None:
    for options, code in (
        ({"workers": "local:3"}, "KK-O03"),
        ({"workers": offload.Pool([])}, "KK-O03"),
        ({"workers": "local:4", "update": "worker"}, "KK-O04"),
    ):
        with pytest.raises(KakuriError) as raised:
            offload.plan(Convolutional(), tier="T3", master="process", **options)  # type: ignore[arg-type]
        assert raised.value.code == code
    plan = offload.plan(Convolutional(), tier="T3", master="process", workers="local:4")
    assert len(plan.layers) == 4
    assert "no two workers collude" in str(plan)
    assert "when two of the four workers" in str(plan)
    assert "shared afresh" in str(plan)


def test_a_worker_refuses_shares_that_do_not_fit() -> None:
    core, seed = Core(), (1, 2, 3, 4)
    whole = torch.zeros(2, 3, dtype=torch.int64)
    for integers, tensors in (
        ((2, 3, 4, 0, 0, *seed), ()),
        ((2, 3, 4, 1, 0, *seed), ()),
        ((2, 3, 4, 1, 0, *seed), (whole.float(),)),
        ((2, 4, 3, 1, 0, *seed), (whole,)),
        ((2, 3, 4, 1, 0, *seed), (whole, whole)),
        ((2, 3, 4, 1, 0, *seed, 5), (whole,)),
        ((-1, 3, 4, 0, 0, *seed, *seed), ()),
        ((1 << 40, 1 << 40, 1, 0, 0, *seed, *seed), ()),
        ((1 << 29, 0, 1 << 29, 0, 0, *seed, *seed), ()),
        ((), ()),
    ):
        answer = core.handle(Message(Op.MULTIPLY_SHARES, integers, tensors=tensors))
        assert answer.op is Op.REFUSED, integers
    assert core.handle(Message(Op.MULTIPLY_SHARES, (2, 3, 4, 1, 0, *seed), tensors=(whole,))).op is Op.DONE
