"""Moments: exact where they are exact, rounded as stated; closed-form heads; trunks that end earlier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kakuri import KakuriError, model, personal
from kakuri.personal.learners.analytic import AnalyticLearner
from kakuri.personal.mirror import mirrored
from kakuri.personal.moments import Moments, moments_of, pack, packed_bytes, solve, unpack
from kakuri.personal.split import layers, split, tapped, with_head
from tests.unit.personal import small


def drawn(classes: int, each: int = 12, width: int = 7) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng([classes, each, width])
    labels = np.repeat(np.arange(classes), each)
    features = random.normal(size=(len(labels), width)) + 2 * random.normal(size=(classes, width))[labels]
    return features.astype(np.float32), labels


def test_new_classes_join_as_if_they_had_been_there() -> None:
    features, labels = drawn(5)
    general = labels < 3
    whole = moments_of(features, labels)
    joined = moments_of(features[general], labels[general]).joined(features[~general], labels[~general])
    assert joined.labels.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(joined.means, whole.means)
    np.testing.assert_allclose(joined.within, whole.within, atol=1e-5)
    left = whole.without(1)
    assert left.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(left.means, whole.means[[0, 2, 3, 4]])


def test_a_known_class_becomes_half_old_half_new() -> None:
    features, labels = drawn(1, each=24)
    joined = moments_of(features[:12], labels[:12]).joined(features[12:], labels[12:])
    whole = moments_of(features, labels)
    np.testing.assert_allclose(joined.means, whole.means)
    np.testing.assert_allclose(joined.within, whole.within, atol=1e-5)


@given(st.integers(2, 5), st.integers(2, 9))
def test_the_head_is_ridge_regression_on_indicators(classes: int, width: int) -> None:
    features, labels = drawn(classes, width=width)
    head = solve(moments_of(features, labels), classes)
    x = features.astype(np.float64) - features.astype(np.float64).mean(axis=0)
    penalty = 0.3 * np.sum(x**2) / width
    targets = np.eye(classes)[labels] - 1 / classes
    rows = np.concatenate([x, np.sqrt(penalty) * np.eye(width)])
    expected, *_ = np.linalg.lstsq(rows, np.concatenate([targets, np.zeros((width, classes))]), rcond=None)
    np.testing.assert_allclose(head.weight, expected.T, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(features @ head.weight.T + head.bias, x @ expected + 1 / classes, atol=1e-4)


@given(st.integers(2, 4), st.booleans())
def test_both_ways_to_solve_agree(classes: int, rounded: bool) -> None:
    features, labels = drawn(classes, each=5, width=40)
    moments = moments_of(features, labels)
    if rounded:  # a part of the covariance on the diagonal alone
        moments = unpack(pack(moments, 6))
    assert len(moments.rows) + classes < 40  # few rows: solved by them
    wide = Moments(
        moments.means, moments.labels, np.concatenate([moments.rows, np.zeros((40, 40), np.float32)]), moments.rest
    )
    by_rows, whole = solve(moments, classes), solve(wide, classes)
    np.testing.assert_allclose(by_rows.weight, whole.weight, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(by_rows.bias, whole.bias, rtol=1e-3, atol=1e-5)


def test_many_rows_are_kept_as_few() -> None:
    features, labels = drawn(4, each=40)
    moments = moments_of(features, labels)
    assert len(moments.rows) <= 2 * 7 + 40
    centred = np.concatenate([features[labels == k] - features[labels == k].mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(moments.within, centred.T.astype(np.float64) @ centred / 160, atol=1e-5)


def test_a_class_without_samples_is_never_chosen() -> None:
    features, labels = drawn(3)
    head = solve(moments_of(features, 2 * labels), 6)
    said = (features @ head.weight.T + head.bias).argmax(axis=1)
    assert set(said) <= {0, 2, 4}
    assert np.mean(said == 2 * labels) > 0.8


@given(st.integers(1, 7))
def test_packed_moments_have_the_stated_size_and_error(rank: int) -> None:
    features, labels = drawn(4, each=40)
    moments = moments_of(features, labels)
    arrays = pack(moments, rank)
    assert sum(array.nbytes for array in arrays.values()) == packed_bytes(7, 4, rank)
    found = unpack(arrays)
    assert np.abs(found.means - moments.means).max() <= np.abs(moments.means).max() / 254 * 1.001
    values = np.linalg.eigvalsh(moments.within)
    lost = values[: 7 - rank].sum()  # what the factor leaves out; the diagonal keeps a part of it
    assert np.linalg.norm(found.within - moments.within) <= lost + 0.05 * values.sum()
    np.testing.assert_allclose(np.diag(found.within), np.diag(moments.within), rtol=0.02)


def test_moments_beyond_all_bounds_are_refused() -> None:
    whole = Moments(np.eye(2), np.array([0, 1]), np.full((2, 2), np.inf, np.float32), np.zeros(2))
    with pytest.raises(KakuriError) as caught:
        solve(whole, 2)
    assert caught.value.code == "KK-P37"


def test_learning_is_one_step_and_its_state_is_the_head() -> None:
    features, labels = drawn(4)
    general = labels < 3
    given_moments = moments_of(features[general], labels[general])
    learner = AnalyticLearner(given_moments, features[~general], labels[~general], 4)
    loss = learner.epoch(0)
    assert 0 < loss < 0.25  # of constant scores: 3/16
    other = AnalyticLearner(given_moments, features[~general], labels[~general], 4)
    other.restore(learner.state())
    assert np.array_equal(other.learned().head.weight, learner.learned().head.weight)
    said = (features @ other.learned().head.weight.T + other.learned().head.bias).argmax(axis=1)
    assert np.mean(said == labels) > 0.9


def test_a_trunk_ends_where_it_is_told_to() -> None:
    net = small.model()
    assert layers(net)[:3] == ("conv", "b", "c")
    end = tapped(net, "c")
    x = np.random.default_rng(0).normal(size=(3, 1, 16, 16)).astype(np.float32)
    found = model.reference_outputs(end, x)
    maps = model.reference_outputs(tapped(net, "d"), x).reshape(3, 8, 8, 8)  # the map itself, flattened by the net
    expected = maps[:, :, :6, :6].reshape(3, 8, 2, 3, 2, 3).mean(axis=(3, 5)).reshape(3, -1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    head = solve(moments_of(found, np.array([0, 1, 1])), 2)
    np.testing.assert_allclose(
        model.reference_outputs(with_head(end, head), x), found @ head.weight.T + head.bias, atol=1e-4
    )
    with pytest.raises(KakuriError, match="has no such layer") as caught:
        tapped(net, "nothing")
    assert caught.value.code == "KK-P07"
    assert "dense" in str(caught.value)


def test_a_mirrored_trunk_averages_a_sample_and_its_mirror_image(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, 1, 16, 16)).astype(np.float32)
    for end in (tapped(small.model(), "c"), split(small.model()).trunk):
        expected = (model.reference_outputs(end, x) + model.reference_outputs(end, x[..., ::-1].copy())) / 2
        made = mirrored(end)
        np.testing.assert_allclose(model.reference_outputs(made, x), expected, atol=1e-6)
        model.save(made, tmp_path / "mirrored.onnx")
        read = model.load(tmp_path / "mirrored.onnx")
        np.testing.assert_allclose(model.reference_outputs(read, x), expected, atol=1e-6)


def test_features_are_mirrored_where_the_recipe_mirrors() -> None:
    def report(*, flip: bool, **changes: object) -> object:
        settings = personal.PlanSettings(form="statistics", simulated_classes=0, **changes)  # type: ignore[arg-type]
        recipe = personal.Recipe(views=2, flip=flip)
        return personal.plan(small.model(), small.data(), recipe=recipe, settings=settings).terms.report["mirror"]

    assert report(flip=True, layer="c") is True
    assert report(flip=False, layer="c") is False
    assert report(flip=True, layer="c", mirror=False) is False
    assert report(flip=True) is False  # the server's own trunk and head stay as they are


def test_a_plan_of_statistics_keeps_its_budget_and_says_where_it_ends() -> None:
    plan = small.plan(form="statistics", layer="c", rank=20)
    assert plan.terms.features == 32
    assert plan.terms.report["layer"] == "c"
    assert plan.terms.report["rank"] == 20
    assert plan.split.head.weight.shape == (small.CLASSES, 32)
    settings = personal.PlanSettings(form="statistics", layer="c")
    tight = personal.plan(small.model(), small.data(), budget_bytes=2000, recipe=small.RECIPE, settings=settings)
    assert tight.handed_bytes <= 2000
    assert 1 <= int(str(tight.terms.report["rank"])) < 32
    assert tight.simulation is not None
    assert tight.simulation.general_accuracy > 0.5
    with pytest.raises(KakuriError, match="does not hold the smallest hand-off"):
        personal.plan(small.model(), small.data(), budget_bytes=600, recipe=small.RECIPE, settings=settings)
