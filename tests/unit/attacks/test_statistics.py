"""Intervals against published values, permutation tests against full enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.attacks.statistics import Accuracy, Correlation, _correlation, _resampled, wilson

# Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
NEWCOMBE = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)]


@pytest.mark.parametrize(("successes", "trials", "low", "high"), NEWCOMBE)
def test_wilson_agrees_with_newcombes_table(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson(successes, trials)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_value_and_stays_in_range(case: tuple[int, int]) -> None:
    interval = wilson(*case)
    assert 0 <= interval.low <= interval.value + 1e-12
    assert interval.value - 1e-12 <= interval.high <= 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=5, max_size=6), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_the_permutation_test_agrees_with_all_permutations(guesses: list[int], answers: list[int]) -> None:
    a, b = np.array(guesses, float), np.array(answers[: len(guesses)], float)
    every = [float(np.mean(a == b[list(order)])) for order in itertools.permutations(range(len(a)))]
    exact = float(np.mean(np.array(every) >= np.mean(a == b) - 1e-12))
    chance = Accuracy().chance(a, b, np.random.default_rng(1), 1e-2)
    assert abs(chance.p_value - exact) < 0.015
    assert abs(chance.estimate.value - np.mean(every)) < 0.01


def test_p_values_of_independent_guesses_are_uniform() -> None:
    random = np.random.default_rng(5)
    correlation = Correlation("pixels")
    p_values = []
    for _ in range(40):
        guesses, answers = random.normal(size=(20, 7)), random.normal(size=(20, 7)) + 3.0
        p_values.append(correlation.chance(guesses, answers, random, 1e-2).p_value)
    assert 0.3 < np.mean(p_values) < 0.7
    assert np.mean(np.array(p_values) < 0.1) < 0.3


def test_correlation_is_pearsons_after_centring_each_column() -> None:
    random = np.random.default_rng(2)
    answers = random.normal(size=(50, 4)) * [1, 5, 0.2, 3] + [10, -4, 0, 2]
    correlation = Correlation("c")
    for guesses, expected in (
        (answers * 2 + 7, 1.0),
        (-answers, -1.0),
        (np.tile(answers.mean(axis=0), (50, 1)), 0.0),
        (np.zeros((50, 4)), 0.0),
    ):
        assert correlation.estimate(guesses, answers, random).value == pytest.approx(expected, abs=1e-9)
    one = answers[:, :1] + random.normal(size=(50, 1))
    reference = float(np.corrcoef(one[:, 0], answers[:, 0])[0, 1])
    assert correlation.estimate(one, answers[:, :1], random).value == pytest.approx(reference)


def test_the_bootstrap_interval_narrows_with_samples() -> None:
    random = np.random.default_rng(3)
    widths = []
    for count in (30, 3000):
        answers = random.normal(size=(count, 1))
        estimate = Correlation("c").estimate(answers + random.normal(size=(count, 1)), answers, random)
        assert estimate.low <= estimate.value <= estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths[1] < widths[0] / 4


def test_detectable_is_the_value_that_chance_exceeds_that_seldom() -> None:
    guesses, answers = np.repeat(np.arange(10.0), 10), np.tile(np.arange(10.0), 10)
    chance = Accuracy().chance(guesses, answers, np.random.default_rng(0), 1e-3)
    assert chance.estimate.value == pytest.approx(0.1, abs=0.003)
    assert 0.15 < chance.detectable < 0.25
    assert Accuracy().chance(answers, answers, np.random.default_rng(0), 1e-3).p_value == pytest.approx(1 / 50_000)


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(3, 30), columns=st.integers(1, 12), offset=st.sampled_from([0.0, 1e4]), seed=st.integers(0, 99)
)
def test_resampled_correlations_are_those_of_resamples_made(count: int, columns: int, offset: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    guesses, answers = random.normal(size=(2, count, columns)) + offset
    picks = random.integers(0, count, size=(20, count))
    expected = [_correlation(guesses[pick], answers[pick]) for pick in picks]
    np.testing.assert_allclose(_resampled(guesses, answers, picks), expected, atol=1e-6)
