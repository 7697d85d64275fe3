"""Plans say what they will do; counters say what was done; wrong requests are refused together."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import kakuri as kk
from kakuri import offload
from kakuri.errors import KakuriError, KakuriWarning
from kakuri.offload.masks import MaskKey
from kakuri.offload.tiers import BLINDING, Blinding, Tier
from kakuri.trust import SystemEntropy
from kakuri.trust.audit_log import AuditLog, verify

from .networks import Convolutional, InProcess, Transformer, batches, pool, train


class Awkward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 8)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.attention = nn.MultiheadAttention(8, 2)
        self.plain = nn.Linear(8, 8)
        self.tied = nn.Linear(8, 8, bias=False)
        self.tied_too = nn.Linear(8, 8, bias=False)
        self.tied_too.weight = self.tied.weight
        self.half = nn.Linear(8, 8).half()
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
        self.norm = nn.LayerNorm(8)


def test_check_names_everything_that_stays() -> None:
    report = kk.check(Awkward(), "offload")
    assert {item.node: item.code for item in report.problems} == {
        "table": "KK-O13",
        "depthwise": "KK-O10",
        "attention": "KK-O12",
        "tied": "KK-O14",
        "tied_too": "KK-O14",
        "half": "KK-O16",
        "spectral": "KK-O12",
    }
    assert report.ok  # it trains all the same
    assert kk.check(Transformer(), "offload").problems == ()
    assert not kk.check(nn.LayerNorm(3), "offload").ok
    with pytest.raises(KakuriError, match="KK-O05"):
        kk.check("a path", "offload")


def test_a_plan_is_printable_json_and_touches_nothing() -> None:
    net = Convolutional()
    plan = offload.plan(net, tier="T2", base="private", workers="local:3", master="process")
    assert plan.layers == ("conv2", "fc1")
    assert plan.weights == {"conv2": (54, 8), "fc1": (72, 16)}
    assert set(plan.kept) == {"conv1", "fc2"}
    document = json.loads(json.dumps(plan.to_dict()))
    assert document["offloaded_weights"] == 54 * 8 + 72 * 16
    assert document["offloaded_weights"] + document["other_parameters"] == sum(p.numel() for p in net.parameters())
    for words in ("NOT a trusted execution environment", "public base model", "conv2 54x8", "every 1 epoch"):
        assert words in str(plan)
    assert type(net.conv2) is nn.Conv2d


def test_problems_of_a_request_come_together() -> None:
    with pytest.raises(KakuriError) as caught:
        offload.plan(Convolutional(), tier="T2", keep=["fc9"], threads=0, update="here")  # type: ignore[arg-type]
    assert [problem.code for problem in caught.value.problems] == ["KK-O04", "KK-O07", "KK-O04", "KK-O04"]
    with pytest.raises(KakuriError, match="did you mean 'T2'"):
        offload.plan(Convolutional(), tier="T22")
    with pytest.raises(KakuriError, match="KK-O08"):
        offload.plan(Convolutional(), tier="T2", base="public")
    with pytest.raises(KakuriError, match="KK-O17"):
        offload.plan(nn.Sequential(nn.Linear(2, 2)), keep=["0"])
    with pytest.raises(KakuriError, match="KK-O03"):
        offload.Pool.open("remote:1")
    accepted = offload.plan(Convolutional(), tier="T2", base="public", accept_public_base=True, master="process")
    assert accepted.base == "public"


def test_the_development_master_is_said_loudly() -> None:
    with pytest.warns(KakuriWarning, match="for development only"):
        offload.plan(Convolutional())


def test_workers_refuse_updates_that_are_not_linear() -> None:
    net = Convolutional()
    plan = offload.plan(net, update="worker", master="process", workers=pool())
    with pytest.raises(KakuriError, match="KK-O06"):
        plan.build(torch.optim.Adam(net.parameters()))


def test_changed_gradients_are_refused_not_ignored() -> None:
    net = Convolutional()
    model, optimizer, _ = offload.plan(net, master="process", workers=pool()).build(
        torch.optim.SGD(net.parameters(), lr=0.1)
    )
    model(batches(1)[0][0]).sum().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    with pytest.raises(KakuriError, match="clipping=True"):
        optimizer.step()
    with pytest.raises(KakuriError, match="KK-O38"):
        optimizer.zero_grad(set_to_none=False)


def test_key_shift_counts_and_moved_elements() -> None:
    """Two blindings and two unblindings per layer and step; b (n + m) elements each way; W blinded once."""
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10))
    plan = offload.plan(net, master="process", workers=pool())
    model, optimizer, _ = plan.build(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))
    counters = offload.session_of(model).counters
    for _ in range(5):
        x = torch.randn(16, 20, requires_grad=True)
        model(x).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert (counters.blindings, counters.unblindings) == (2 * 2 * 5, 2 * 2 * 5)
    assert counters.moved_elements == 5 * 2 * 16 * ((20 + 30) + (30 + 10))
    assert counters.weight_blindings == 2
    assert counters.weight_elements == 20 * 30 + 30 * 10
    assert counters.offloaded_flops == 5 * 3 * 2 * 16 * (20 * 30 + 30 * 10)


@pytest.mark.parametrize("tier", ["T1", "T2"])
def test_without_key_shift_the_result_is_the_same_at_three_times_the_blindings(tier: str) -> None:
    made, losses = [], []
    data = batches(3)
    for key_shift in (True, False):
        torch.manual_seed(3)
        net = Convolutional()
        plan = offload.plan(
            net, tier=tier, base="private", master="process", workers=pool(), key_shift=key_shift, update="master"
        )
        model, optimizer, _ = plan.build(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))
        losses.append(train(model, optimizer, data))
        made.append(offload.session_of(model).counters)
        layers, steps = len(plan.layers), len(data)
        no_input = 1 if "conv1" in plan.layers else 0  # the first layer's input needs no gradient
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert made[0].blindings == 2 * layers * steps
    assert made[1].blindings == (6 * layers - 2 * no_input) * steps
    assert made[0].unblindings == (2 * layers - no_input) * steps
    assert made[1].unblindings == (3 * layers - no_input) * steps


@pytest.mark.parametrize(("every", "rotations"), [(1, 3), (2, 1), (0, 0)])
def test_keys_rotate_at_epochs_and_blinded_weights_change(every: int, rotations: int) -> None:
    net = Convolutional()
    place = InProcess()
    plan = offload.plan(net, tier="T2", base="private", master="process", workers=pool(place), rotate_every=every)
    model, optimizer, data = plan.build(torch.optim.SGD(net.parameters(), lr=0.0), batches(1))
    seen = []
    for _ in range(4):
        train(model, optimizer, data)
        seen.append([layer.weight.clone() for layer in place.core._layers.values()])
    session = offload.session_of(model)
    assert session.counters.rotations == rotations
    assert session.counters.weight_blindings == 2 * (1 + rotations)
    changed = [not torch.equal(a[0], b[0]) for a, b in itertools.pairwise(seen)]
    assert changed == [bool(every and epoch % every == 0) for epoch in (1, 2, 3)]


@pytest.mark.parametrize("tier", BLINDING.values(), ids=lambda tier: tier.name)
@pytest.mark.parametrize("size", [1, 2, 3, 27, 64, 100, 576])
def test_masks_undo_themselves_and_differ(tier: Tier, size: int) -> None:
    key = MaskKey(SystemEntropy())
    right = tier.right(key.stream("Q", 1), size)
    x = torch.randn(5, size, dtype=torch.float64)
    assert torch.allclose(right.undo(right.apply(x)), x, atol=1e-12)
    assert torch.allclose(right.apply(x).norm(), x.norm())  # orthogonal
    left = tier.left(key.stream("P", 1), size)
    q, r = tier.right(key.stream("Q", 2), 4), tier.right(key.stream("R", 2), 3)
    y, z = torch.randn(size, 4, dtype=torch.float64), torch.randn(size, 3, dtype=torch.float64)
    hidden, dual = left.apply(y, q), left.apply_dual(z, r)
    assert hidden.shape == (left.blinded_rows, 4)
    assert torch.allclose(left.undo(hidden, q), y, atol=1e-12)
    assert torch.allclose(left.undo_dual(dual, r), z, atol=1e-12)
    gradient = Blinding(q, r).unweight(hidden.T @ dual)
    assert torch.allclose(gradient, y.T @ z, atol=1e-9)  # gradients stay exact
    assert torch.allclose(Blinding(q, r).weight(gradient), hidden.T @ dual, atol=1e-9)
    wide = torch.randn(5, 576, dtype=torch.float64)
    keys = (key, MaskKey(SystemEntropy()))
    ours, other = (one.stream("Q", 1) for one in keys)
    assert not torch.allclose(tier.right(ours, 576).apply(wide), tier.right(other, 576).apply(wide))


def test_streams_are_independent_repeatable_and_end_with_the_key() -> None:
    key = MaskKey(SystemEntropy())
    first = key.stream("P", 1, 2).words(1000)
    assert (first == key.stream("P", 1, 2).words(1000)).all()
    for other in (("P", 1, 3), ("P", 12), ("P", "1", 2), ("P1", 2)):
        assert not (first == key.stream(*other).words(1000)).any()
    values = key.stream("g").gaussian(100_001)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    key.destroy()
    with pytest.raises(KakuriError, match="KK-O30"):
        key.stream("P")


def test_the_audit_log_shows_any_change(tmp_path: Path) -> None:
    path, key = tmp_path / "audit.log", bytes(range(32))
    log = AuditLog(path, key)
    for number in range(4):
        log.append("event", {"number": number})
    assert [entry.details["number"] for entry in verify(path, key)] == [0, 1, 2, 3]
    AuditLog(path, key).append("later", {})
    assert verify(path, key)[-1].event == "later"
    lines = path.read_bytes().splitlines(keepends=True)
    changes = (
        [*lines[:1], *lines[2:]],
        [lines[1], lines[0], *lines[2:]],
        [lines[0].replace(b'"number":0', b'"number":9', 1), *lines[1:]],
        [*lines, b"{}\n"],
        [b"not json\n"],
    )
    for changed in changes:
        path.write_bytes(b"".join(changed))
        with pytest.raises(KakuriError, match="KK-T01"):
            verify(path, key)
    path.write_bytes(b"".join(lines))
    with pytest.raises(KakuriError, match="KK-T01"):
        verify(path, bytes(32))
