"""Learners, calibration, split and artefacts, without the sandbox."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kakuri import KakuriError, model, personal
from kakuri.model.graph import constant
from kakuri.model.to_torch import to_torch, weights_of
from kakuri.personal import sealed
from kakuri.personal.calibration import calibrated, counts
from kakuri.personal.features import dequantize, quantize
from kakuri.personal.learners.adamw import AdamW
from kakuri.personal.learners.deep import DeepLearner
from kakuri.personal.learners.head import HeadLearner
from kakuri.personal.learners.learner import Learner, balanced_batches
from kakuri.personal.linear import Head
from kakuri.personal.split import split, with_head, with_weights
from kakuri.trust import SeededRandomness
from tests.unit.personal import small

RANDOM = SeededRandomness(5, "test")


def head_learner() -> Learner:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 10)
    features = (random.normal(size=(40, 6)) + 3 * np.eye(6)[labels]).astype(np.float32)
    head = Head(random.normal(size=(3, 6)).astype(np.float32), np.zeros(3, np.float32))
    return HeadLearner(features, labels, head, 4, randomness=RANDOM)


def deep_learner(method: str) -> Learner:
    parts = split(small.model())
    samples = np.concatenate([small.pictures(label, 6, 3) for label in range(7)])
    return DeepLearner(
        to_torch(parts.trunk),
        samples,
        np.repeat(np.arange(7), 6),
        parts.head,
        7,
        method=method,
        epochs=4,
        spec=personal.InputSpec(shape=(1, 16, 16)),
        mirror=False,
        randomness=RANDOM,
    )


LEARNERS = {
    "head": head_learner,
    "full": lambda: deep_learner("full"),
    "last-layers": lambda: deep_learner("last-layers"),
    "lora": lambda: deep_learner("lora"),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_going_on_from_a_state_gives_the_same_bits(name: str) -> None:
    whole, first, second = (LEARNERS[name]() for _ in range(3))
    losses = [whole.epoch(index) for index in range(4)]
    first.epoch(0)
    first.epoch(1)
    second.restore({key: array.copy() for key, array in first.state().items()})
    assert [second.epoch(2), second.epoch(3)] == losses[2:]
    ours, theirs = whole.learned(), second.learned()
    assert ours.head.weight.tobytes() == theirs.head.weight.tobytes()
    assert ours.head.bias.tobytes() == theirs.head.bias.tobytes()
    assert {k: v.tobytes() for k, v in ours.weights.items()} == {k: v.tobytes() for k, v in theirs.weights.items()}
    assert losses[-1] < losses[0]


def test_methods_change_what_they_say() -> None:
    start = weights_of(to_torch(split(small.model()).trunk))
    changed = {}
    for method in ("full", "last-layers", "lora"):
        learner = deep_learner(method)
        learner.epoch(0)
        weights = learner.learned().weights
        changed[method] = {name for name in start if not np.array_equal(start[name], weights[name])}
    assert changed["full"] == set(start)
    assert changed["last-layers"] == changed["lora"] == {name for name in start if start[name].ndim >= 2}
    assert all(len(deep_learner("lora").state()[f"value.{i}"].shape) == 2 for i in range(2))


def test_full_training_learns_statistics_and_the_average_of_all_steps() -> None:
    statistics = {"norm.mean", "norm.variance"}
    start = split(small.model()).trunk.graph.initializers
    for method in ("full", "last-layers", "lora"):
        learner = deep_learner(method)
        assert isinstance(learner, DeepLearner)
        learner.epoch(0)
        learned = learner.learned().weights
        moved = {name for name in statistics if not np.array_equal(constant(start[name]), learned[name])}
        assert moved == (statistics if method == "full" else set())
    learner = deep_learner("full")
    state = learner.state()  # before the first step the average is the weights themselves
    values = [key for key in state if key.startswith("value.")]
    assert all(np.array_equal(state[key], state[key.replace("value", "average")]) for key in values)
    learner.epoch(0)
    state = learner.state()
    head = learner.learned().head
    averages = [array for key, array in state.items() if key.startswith("average.")]
    assert any(array.shape == head.weight.shape and np.array_equal(array, head.weight) for array in averages)
    assert not np.array_equal(state["value.0"], state["average.0"])


def test_steps_are_those_of_torch() -> None:
    start = [torch.randn(4, 3, generator=torch.Generator().manual_seed(1)), torch.ones(5), torch.ones(2)]
    ours, theirs = ([tensor.clone().requires_grad_() for tensor in start] for _ in range(2))
    own, peer = AdamW(ours, 0.02), torch.optim.AdamW(theirs, weight_decay=0.02)
    for index in range(30):
        rate = 0.1 / (1 + index)
        peer.param_groups[0]["lr"] = rate
        for first, second, _ in (ours, theirs):  # the third has no gradient
            (((first + index).sin() ** 2).sum() + (second**3).sum()).backward()
        own.step(rate)
        peer.step()
        peer.zero_grad()
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(ours[2], start[2])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 20))
def test_batches_hold_what_there_is(labels: list[int], batch: int) -> None:
    given_labels = np.array(labels)
    chosen = np.concatenate(balanced_batches(given_labels, batch, np.random.default_rng(0)))
    assert len(chosen) == len(labels)
    assert set(chosen.tolist()) <= set(range(len(labels)))


def test_batches_are_balanced() -> None:
    labels = np.array([0] * 900 + [1] * 100)
    share = np.mean(
        [labels[np.concatenate(balanced_batches(labels, 50, np.random.default_rng(s)))].mean() for s in range(5)]
    )
    assert 0.45 < share < 0.55


@given(seed=st.integers(0, 200), target=st.floats(0, 0.5), count=st.integers(1, 80), normal=st.booleans())
def test_calibration_keeps_its_target_on_the_guard_set(seed: int, target: float, count: int, normal: bool) -> None:
    random = np.random.default_rng(seed)
    head = Head(random.normal(size=(5, 4)).astype(np.float32), random.normal(size=5).astype(np.float32))
    guard = random.normal(size=(count, 4)).astype(np.float32)
    made = calibrated(head, 3, guard, target, normal=normal)
    got = counts(made, 3, guard, np.zeros(count, np.int64))
    assert got.false_personal <= target * count
    raised = made.bias + np.float32(0.02) * (np.arange(5) >= 3)  # a little higher, and one of the two limits is broken
    scores = guard @ made.weight.T + raised
    margins = scores[:, 3:].max(axis=1) - scores[:, :3].max(axis=1)
    beyond = (margins > 0).sum() > target * count
    assert beyond or normal
    fitted = normal and target > 0 and margins.mean() - NormalDist().inv_cdf(target) * margins.std() > 0
    assert beyond or fitted
    assert np.array_equal(made.bias[:3], head.bias[:3])
    assert np.array_equal(made.weight, head.weight)


@given(seed=st.integers(0, 50))
def test_stored_features_are_within_half_a_step(seed: int) -> None:
    features = (np.random.default_rng(seed).normal(size=(20, 7)) * 10.0 ** np.arange(-3, 4)).astype(np.float32)
    stored = quantize(features)
    assert stored.values.dtype == np.int8
    assert (np.abs(dequantize(stored) - features) <= stored.scale * 0.5001).all()


def test_split_and_join_compute_the_same() -> None:
    net = small.model()
    parts = split(net)
    x = np.random.default_rng(0).normal(size=(5, 1, 16, 16)).astype(np.float32)
    features = model.reference_outputs(parts.trunk, x)
    whole = model.reference_outputs(net, x)
    assert features.shape == (5, small.WIDTH)
    np.testing.assert_allclose(features @ parts.head.weight.T + parts.head.bias, whole, atol=1e-4)
    np.testing.assert_allclose(model.reference_outputs(with_head(parts.trunk, parts.head), x), whole, atol=1e-4)
    changed = with_weights(parts.trunk, {k: 0 * v for k, v in weights_of(to_torch(parts.trunk)).items()})
    assert not model.reference_outputs(changed, x).any()
    with pytest.raises(KakuriError) as caught:
        with_weights(parts.trunk, {"nothing": np.zeros(1, np.float32)})
    assert caught.value.code == "KK-P05"


def test_a_network_without_a_dense_end_is_refused() -> None:
    net = model.load(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU()), example=torch.zeros(1, 1, 8, 8))
    with pytest.raises(KakuriError) as caught:
        split(net)
    assert caught.value.code == "KK-P04"


def test_artefacts_open_under_their_key_and_purpose_alone(tmp_path: Path) -> None:
    path, key = tmp_path / "a.sealed", bytes(32)
    sealed.write_sealed(path, "model", key, b"secret weights")
    assert b"secret" not in path.read_bytes()
    assert sealed.read_sealed(path, "model", key) == b"secret weights"
    whole = path.read_bytes()
    cases = [
        (whole, "checkpoint", key),
        (whole, "model", bytes([1] * 32)),
        (whole[:-1], "model", key),
        (b"", "model", key),
    ]
    for data, purpose, other in cases:
        path.write_bytes(data)
        with pytest.raises(KakuriError) as caught:
            sealed.read_sealed(path, purpose, other)
        assert caught.value.code == "KK-P20"
