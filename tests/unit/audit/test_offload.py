"""What the attacks find in recorded worker bytes, per tier: permutations leak, mixing of private weights does not."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from kakuri import audit
from kakuri.attacks import Verdict
from kakuri.audit.offload import ATTACKS, offloaded
from kakuri.errors import KakuriError
from kakuri.offload.recording import Recording, record

SIZE = 64


@functools.cache
def recording(tier: str) -> Recording:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(20, SIZE), nn.ReLU(), nn.Linear(SIZE, 48), nn.ReLU(), nn.Linear(48, 40), nn.ReLU(), nn.Linear(40, 4)
    )
    batches = [(torch.randn(SIZE, 20), torch.randint(0, 4, (SIZE,))) for _ in range(4)]
    return record(net, batches, "2", tier=tier)


@pytest.mark.parametrize("tier", ["T1", "T2"])
def test_a_recording_is_what_the_worker_held(tier: str) -> None:
    found = recording(tier)
    assert found.weights.shape == found.later_weights.shape == found.plain_weights.shape == (SIZE, 48)
    for blinded, plain in (
        (found.weights, found.plain_weights),
        (found.later_weights, found.plain_later_weights),
    ):
        assert np.allclose(np.linalg.norm(blinded), np.linalg.norm(plain), rtol=1e-4)
        assert np.allclose(*(np.linalg.svd(m, compute_uv=False) for m in (blinded, plain)), atol=1e-4)
    assert not np.allclose(found.plain_weights, found.plain_later_weights)
    if tier == "T1":
        assert sorted(found.weight_row) == list(range(SIZE))
        assert sorted(found.sample) == sorted([*range(SIZE)] * 2)
        for row, origin in zip(found.weights, found.weight_row, strict=True):
            assert np.allclose(np.sort(np.abs(row)), np.sort(np.abs(found.plain_weights[origin])), atol=1e-6)
        for row, plain in zip(found.activations, found.plain_activations, strict=True):
            assert np.count_nonzero(row) == np.count_nonzero(plain)
    with pytest.raises(KakuriError, match="KK-O04"):
        record(nn.Sequential(nn.Linear(2, 2)), [], "1", tier="T1")


@pytest.mark.slow
def test_permutations_leak_everything_to_whoever_has_the_base() -> None:
    found = recording("T1")
    report = audit.run(offloaded(found, found.plain_weights), ATTACKS)
    verdicts = {(item.attack, item.target.split(", ")[-1]): item for item in report.results}
    for attack, what in (
        ("base_model_matching", "weights"),
        ("gram_alignment", "update"),
        ("row_linking", "activations"),
        ("known_plaintext", "activations"),
        ("activation_inversion", "activations"),
        ("gradient_inversion", "gradients of single samples"),
    ):
        result = verdicts[attack, what]
        assert result.verdict is Verdict.LEAK
        assert result.estimate.value > (0.4 if attack == "gram_alignment" else 0.9)
    assert len(verdicts) == 7  # and surrogate_stealing, whose samples are few


@pytest.mark.slow
def test_mixing_hides_private_weights_and_not_updates_of_a_public_base() -> None:
    found = recording("T2")
    torch.manual_seed(1)
    another = nn.Linear(SIZE, 48).weight.detach().T.numpy()
    private = audit.run(offloaded(found, another), [name for name in ATTACKS if name != "gradient_inversion"])
    assert not private.leaks, str(private)
    public = audit.run(offloaded(found, found.plain_weights), ["gram_alignment"])
    assert public.results[0].verdict is Verdict.LEAK
    assert public.results[0].estimate.value > 0.4


@pytest.mark.parametrize("tier", ["T1", "T2"])
def test_gradients_of_single_samples_are_those_that_the_worker_held(tier: str) -> None:
    found = recording(tier)
    assert len(found.inputs) == 4 * SIZE
    shape = found.plain_weights.shape
    for blinded, plain, x in list(zip(found.gradients, found.plain_gradients, found.inputs, strict=True))[:20]:
        assert np.linalg.matrix_rank(plain.reshape(shape), tol=1e-6) <= 1
        assert np.linalg.norm(blinded) == pytest.approx(np.linalg.norm(plain), rel=1e-3, abs=1e-7)
        left = np.linalg.svd(plain.reshape(shape))[0][:, 0]
        assert abs(left @ x) == pytest.approx(np.linalg.norm(x), rel=1e-3) or not plain.any()
    assert not np.allclose(found.gradients, found.plain_gradients, atol=1e-6)


@pytest.mark.slow
def test_mixing_does_not_hide_single_samples_from_who_knows_others() -> None:
    """Of one sample the gradient has rank one, whatever mixes it: T2 needs batches."""
    found = recording("T2")
    report = audit.run(offloaded(found, found.plain_weights), ["gradient_inversion"])
    (result,) = report.results
    assert result.verdict is Verdict.LEAK


@functools.cache
def overfitted(tier: str) -> Recording:
    """A network that learnt random labels of its samples by heart, beside samples that it never saw."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, SIZE), nn.ReLU(), nn.Linear(SIZE, 48), nn.ReLU(), nn.Linear(48, 4))
    x, y = torch.randn(512, 20), torch.randint(0, 4, (512,))
    trained, others = [(x[:256], y[:256])], [(x[256:], y[256:])]
    return record(net, trained, "2", tier=tier, lr=0.5, epochs=150, strangers=others)


def test_members_and_strangers_take_turns() -> None:
    found = overfitted("T1")
    assert found.member.tolist() == [1, 0] * 128
    assert len(found.inputs) == 256
    assert found.scores.shape == (256, 4)
    assert np.allclose(found.scores.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["T1", "T2"])
def test_norms_of_single_gradients_tell_members_from_strangers(tier: str) -> None:
    """Neither tier changes a gradient's norm: batches of one show whether a sample was learnt by heart."""
    found = overfitted(tier)
    (result,) = audit.run(offloaded(found, found.plain_weights), ["membership_inference"]).results
    print(result)
    assert result.verdict is Verdict.LEAK
    assert result.estimate.value > 0.65


@pytest.mark.slow
def test_rows_of_queries_tell_answers_under_permutations_and_not_under_mixing() -> None:
    results = {}
    for tier in ("T1", "T2"):
        found = overfitted(tier)
        (results[tier],) = audit.run(offloaded(found, found.plain_weights), ["surrogate_stealing"]).results
        print(results[tier])
    assert results["T1"].verdict is Verdict.LEAK
    assert results["T2"].verdict is Verdict.AT_CHANCE
