"""Leave-one-out of kernel ridge regression against fits that really leave one out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.attacks.features import standardise
from kakuri.attacks.ridge import fits


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(5, 12), st.integers(1, 20))
def test_left_out_predictions_are_those_of_separate_fits(seed: int, count: int, width: int) -> None:
    random = np.random.default_rng(seed)
    features, targets = random.normal(size=(count, width)), random.normal(size=(count, 2))
    centred = targets - targets.mean(axis=0)
    for fit in fits(features, targets):
        gram = features @ features.T / width
        if fit.kernel == "radial":
            gram = np.exp(-0.5 * np.square(features[:, None] - features[None]).sum(axis=2) / width)
        ridge = fit.penalty * np.trace(gram) / count
        for left in (0, count - 1):
            rest = np.arange(count) != left
            weights = np.linalg.solve(gram[np.ix_(rest, rest)] + ridge * np.eye(count - 1), centred[rest])
            assert fit.left_out[left] == pytest.approx(gram[left, rest] @ weights + targets.mean(axis=0), abs=1e-6)


def test_a_linear_relation_is_found_and_predicts_new_samples() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(80, 5))
    features = standardise(features, features[:60])
    targets = features @ random.normal(size=(5, 3)) + 1.0
    best = min(fits(features[:60], targets[:60]), key=lambda fit: float(np.mean((fit.left_out - targets[:60]) ** 2)))
    assert best.kernel == "linear"
    assert best.predict(features[60:]) == pytest.approx(targets[60:], abs=1e-2)


def test_features_without_information_predict_the_mean() -> None:
    targets = np.arange(12.0)[:, None]
    for fit in fits(np.zeros((12, 3)), targets):
        assert np.isfinite(fit.left_out).all()
        assert fit.predict(np.zeros((2, 3))) == pytest.approx(np.full((2, 1), 5.5), abs=6)
