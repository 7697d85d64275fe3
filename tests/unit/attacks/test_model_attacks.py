"""Attacks on what is open of a network: they break their plants, and noise does not pass for a leak."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kakuri.attacks import MODEL_ATTACKS, Budget, Target, planted, select, surrogate
from kakuri.attacks.membership_inference import bending, confidence


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", MODEL_ATTACKS)
def test_self_tests_pass_and_can_fail(name):
    attack = MODEL_ATTACKS[name]
    assert attack.self_test(Budget(), random()).passed

    class OnNoise(type(attack)):
        def planted(self, generator: np.random.Generator) -> Target:
            real = super().planted(generator)
            return replace(real, numbers={"noise": generator.standard_normal((real.samples, 6))})

    assert not OnNoise().self_test(Budget(), random()).passed


@pytest.mark.parametrize("name", MODEL_ATTACKS)
def test_without_anything_to_learn_from_they_say_so(name):
    target = MODEL_ATTACKS[name].planted(random())
    silent = replace(target, numbers={}, views={"query": planted.as_float32(np.zeros((target.samples, 1)))})
    assert "no side channels" in MODEL_ATTACKS[name].why_not(silent)
    assert MODEL_ATTACKS[name].why_not(replace(target, truth={})) != ""
    assert select([name]) == (MODEL_ATTACKS[name],)


def test_a_surrogate_learns_what_a_linear_rule_cannot_say_and_predicts_new_samples():
    x = random(1).uniform(-1, 1, (600, 6))
    answers = np.eye(2)[(np.abs(x[:, 0]) + np.abs(x[:, 1]) > 1.0).astype(int)]
    thief = surrogate.fit(x[:400], answers[:400], random(2))
    assert np.mean(thief.predict(x[400:]).argmax(axis=1) == answers[400:].argmax(axis=1)) > 0.85
    np.testing.assert_allclose(thief.predict(x).sum(axis=1), 1.0)


def test_a_surrogate_s_gradient_is_the_slope_of_its_loss():
    x = random(3).standard_normal((80, 5))
    labels = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    thief = surrogate.fit(x, np.eye(2)[labels], random(4))

    def loss(values: np.ndarray) -> float:
        return -float(np.log(thief.predict(values[None])[0, labels[0]]))

    slope = [(loss(x[0] + step) - loss(x[0] - step)) / 2e-6 for step in 1e-6 * np.eye(5)]
    np.testing.assert_allclose(thief.gradient(x[:1], labels[:1])[0], slope, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("count", [1, 3, 40])
def test_surrogates_take_constant_and_few_features(count):
    thief = surrogate.fit(np.ones((30, count)), np.tile([0.25, 0.75], (30, 1)), random())
    np.testing.assert_allclose(thief.predict(np.ones((2, count))), [[0.25, 0.75]] * 2, atol=0.05)


def test_features_are_finite_where_the_network_is_certain():
    scores = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(confidence(scores, np.array([0, 0]))).all()
    assert np.isfinite(bending(np.zeros((2, 3)))).all()
