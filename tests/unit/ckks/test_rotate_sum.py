"""Chains of rotations: the same sums whichever stages they run in, and the work that is counted for each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri import _ckks

from .conftest import Ring, make_ring

TOLERANCE = 2.0**-15


@pytest.fixture(scope="module", params=["standard", "conjugate_invariant"])
def ring(request: pytest.FixtureRequest) -> Ring:
    """N = 64, keys for 1, 2, 3, 7 and -1 only."""
    return make_ring(6, [45, 40, 40, 40, 48], 1, 4, 2.0**40, insecure=True, kind=request.param)


def expected(x: np.ndarray, steps: list[int]) -> np.ndarray:
    for step in steps:
        x = x + np.roll(x, -step)
    return x


def check(ring: Ring, evaluator: _ckks.Evaluator, steps: list[int], level: int, seed: int = 0) -> dict[str, int]:
    """Compares with the clear and returns the counters that moved."""
    x = np.random.default_rng(seed).uniform(-1, 1, ring.parameters.slots)
    a = ring.secret.encrypt(_ckks.encode(ring.parameters, x, ring.scale, level))
    evaluator.reset_counters()
    out = evaluator.rotate_sum(a, steps)
    assert (out.level, out.scale) == (level, ring.scale)
    error = np.abs(ring.secret.decrypt(out, precision_bits=30) - expected(x, steps)).max()
    assert error < TOLERANCE * 2 ** len(steps)
    return {name: value for name, value in evaluator.counters.items() if value}


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.sampled_from([0, 1, 2, 3, 7, -1]), max_size=5), level=st.integers(0, 2), seed=st.integers(0, 99)
)
def test_any_chain_equals_the_sum_in_the_clear(ring: Ring, steps: list[int], level: int, seed: int) -> None:
    check(ring, ring.evaluator, steps, level, seed)


def test_two_steps_are_one_stage_where_the_keys_hold_their_sum(ring: Ring) -> None:
    counts = check(ring, ring.evaluator, [1, 2], 2)
    assert counts == {"rotation": 2, "hadd": 2, "keyswitch_modup": 1, "keyswitch_moddown": 1}


def test_without_that_key_every_step_is_a_stage(ring: Ring) -> None:
    counts = check(ring, ring.evaluator, [2, 2], 2)
    assert counts == {"rotation": 2, "hadd": 2, "keyswitch_modup": 2, "keyswitch_moddown": 2}


def test_a_key_of_a_lower_level_is_not_taken(ring: Ring) -> None:
    keys = ring.secret.evaluation_keys({1: 3, 2: 3, 3: 1})
    evaluator = _ckks.Evaluator(ring.parameters, keys)
    assert check(ring, evaluator, [1, 2], 2)["keyswitch_modup"] == 2
    assert check(ring, evaluator, [1, 2], 1)["keyswitch_modup"] == 1


def test_every_path_and_number_of_threads_gives_the_same_words(ring: Ring) -> None:
    a = ring.secret.encrypt(_ckks.encode(ring.parameters, np.ones(ring.parameters.slots), ring.scale, 3))
    chosen = _ckks.kernel_path()
    seen = set()
    try:
        for path in _ckks.available_kernel_paths():
            _ckks.set_kernel_path(path)
            for threads in (1, 2, 3, 7):
                evaluator = _ckks.Evaluator(ring.parameters, ring.keys, threads)
                seen.add(evaluator.rotate_sum(a, [1, 2, -1, 0]).to_bytes())
    finally:
        _ckks.set_kernel_path(chosen)
    assert len(seen) == 1
