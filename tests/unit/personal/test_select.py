"""Selection strategies: what all of them keep, and what each is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kakuri.personal.select import STRATEGIES, Candidates
from kakuri.personal.select.candidates import quotas


def candidates(count: int, classes: int, seed: int) -> Candidates:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    features = random.normal(size=(count, 5)).astype(np.float32) + labels[:, None]
    return Candidates(features, labels, random.normal(size=(count, classes)).astype(np.float32))


@pytest.mark.parametrize("name", STRATEGIES)
@given(count=st.integers(1, 40), wanted=st.integers(0, 40), classes=st.integers(1, 5), seed=st.integers(0, 99))
def test_each_gives_exactly_that_many_distinct_samples(
    name: str, count: int, wanted: int, classes: int, seed: int
) -> None:
    wanted = min(wanted, count)
    chosen = STRATEGIES[name](candidates(count, classes, seed), wanted, np.random.default_rng(seed))
    assert chosen.dtype == np.int64
    assert len(chosen) == wanted == len(set(chosen.tolist()))
    assert all(0 <= index < count for index in chosen)


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_repeats_itself_under_one_seed(name: str) -> None:
    given = candidates(60, 4, 3)
    first, second = (STRATEGIES[name](given, 20, np.random.default_rng(5)) for _ in range(2))
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"random"}))
def test_all_but_random_balance_the_classes(name: str) -> None:
    given = candidates(200, 4, 1)
    chosen = STRATEGIES[name](given, 40, np.random.default_rng(0))
    assert np.bincount(given.labels[chosen]).tolist() == [10] * 4


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6), count=st.integers(0, 80))
def test_quotas_are_even_within_what_there_is(sizes: list[int], count: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    taken = quotas(labels, count)
    assert sum(taken.values()) == min(count, len(labels))
    unfilled = [taken[label] for label, size in enumerate(sizes) if taken[label] < size]
    assert max(unfilled, default=0) - min(unfilled, default=0) <= 1


def test_herding_follows_the_mean_better_than_chance() -> None:
    given = candidates(100, 1, 2)
    mean = given.features.mean(axis=0)

    def gap(chosen: np.ndarray) -> float:
        return float(np.linalg.norm(given.features[chosen].mean(axis=0) - mean))

    random = np.mean([gap(STRATEGIES["random"](given, 10, np.random.default_rng(s))) for s in range(20)])
    assert gap(STRATEGIES["herding"](given, 10, np.random.default_rng(0))) < random / 3


def test_k_centre_covers_better_than_chance() -> None:
    given = candidates(100, 1, 2)

    def radius(chosen: np.ndarray) -> float:
        distances = np.linalg.norm(given.features[:, None] - given.features[chosen][None], axis=2)
        return float(distances.min(axis=1).max())

    random = np.mean([radius(STRATEGIES["random"](given, 10, np.random.default_rng(s))) for s in range(20)])
    assert radius(STRATEGIES["k-centre"](given, 10, np.random.default_rng(0))) < random


def test_loss_based_takes_the_hardest() -> None:
    given = candidates(50, 1, 4)
    given = Candidates(
        given.features, np.zeros(50, np.int64), np.random.default_rng(0).normal(size=(50, 3)).astype("f4")
    )
    loss = -given.residuals()[:, 0]
    chosen = STRATEGIES["loss-based"](given, 10, np.random.default_rng(0))
    assert loss[chosen].min() >= np.sort(loss)[-10]


def test_gradient_matching_approaches_the_sum_of_gradients_better_than_chance() -> None:
    given = candidates(80, 1, 7)
    given = Candidates(
        given.features, np.zeros(80, np.int64), np.random.default_rng(0).normal(size=(80, 4)).astype("f4")
    )
    gradients = (given.residuals()[:, :, None] * given.features[:, None, :]).reshape(80, -1)
    target = gradients.sum(axis=0)

    def gap(chosen: np.ndarray) -> float:
        basis = gradients[chosen].T
        return float(np.linalg.norm(target - basis @ np.linalg.lstsq(basis, target, rcond=None)[0]))

    random = np.mean([gap(STRATEGIES["random"](given, 6, np.random.default_rng(s))) for s in range(20)])
    assert gap(STRATEGIES["gradient-matching"](given, 6, np.random.default_rng(0))) < random / 2
