"""Offloaded training is plain training up to rounding: outputs, gradients, updates, trajectories."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from kakuri import offload

from .networks import Convolutional, InProcess, Transformer, batches, largest_difference, pool, train

TIERS = ("T1", "T2")


def build(
    model: nn.Module, optimizer: torch.optim.Optimizer, tier: str = "T1", data: object = None, **options: Any
) -> Any:
    options.setdefault("workers", pool())
    return offload.plan(model, tier=tier, base="private", master="process", **options).build(optimizer, data)


def close(ours: Tensor, plain: Tensor, relative: float = 1e-5) -> bool:
    return float((ours - plain).detach().norm()) <= relative * float(plain.detach().norm())


class Wrapped(nn.Module):
    """A layer between two others, so that every tier offloads it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.before, self.layer, self.after = nn.Linear(1, 1), layer, nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y


def gradients_agree(layer: nn.Module, x: Tensor, tier: str) -> None:
    """In double precision, where a sum that cancels still has digits to compare."""
    plain, x = Wrapped(layer).double(), x.double()
    ours = copy.deepcopy(plain)
    ours, _, _ = build(ours, torch.optim.SGD(ours.parameters(), lr=0.1), tier)
    x_plain, x_ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    y_plain, y_ours = plain(x_plain), ours(x_ours)
    assert y_ours.shape == y_plain.shape
    assert close(y_ours, y_plain, 1e-9)
    upstream = torch.randn_like(y_plain)
    y_plain.backward(upstream)
    y_ours.backward(upstream)
    assert close(x_ours.grad, x_plain.grad, 1e-9)
    home = ours.layer.home
    assert close(home.as_weight(home.remote.gradient()), layer.weight.grad, 1e-9)
    if layer.bias is not None:
        assert close(ours.layer.bias.grad, layer.bias.grad, 1e-9)


@pytest.mark.parametrize("tier", TIERS)
@settings(max_examples=12, deadline=None)
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 70), st.booleans(), st.sampled_from([(), (3,), (2, 2)]))
def test_linear_layers(  # noqa: PLR0917
    tier: str, rows: int, n: int, m: int, bias: bool, more: tuple[int, ...]
) -> None:
    gradients_agree(nn.Linear(n, m, bias=bias), torch.randn(rows, *more, n), tier)


@pytest.mark.parametrize("tier", TIERS)
@settings(max_examples=12, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.sampled_from([0, 1, (2, 1), "same", "valid"]),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from(["zeros", "reflect", "circular"]),
)
def test_convolutions(  # noqa: PLR0917
    tier: str,
    sizes: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: int | tuple[int, int] | str,
    dilation: tuple[int, int],
    mode: str,
) -> None:
    batch, inputs, outputs = sizes
    strides = (1, 1) if padding == "same" else stride
    layer = nn.Conv2d(inputs, outputs, kernel, strides, padding, dilation, padding_mode=mode)
    gradients_agree(layer, torch.randn(batch, inputs, 9, 8), tier)


SETTINGS: tuple[dict[str, Any], ...] = (
    {"lr": 0.1},
    {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-2},
    {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    {"lr": 0.05, "momentum": 0.8, "dampening": 0.3},
    {"lr": 0.001, "maximize": True},
)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("options", SETTINGS)
def test_sgd_on_workers_is_sgd(tier: str, options: dict[str, Any]) -> None:
    plain = Convolutional()
    ours = copy.deepcopy(plain)
    data = batches(6)
    model, optimizer, offloaded = build(ours, torch.optim.SGD(ours.parameters(), **options), tier, data=data)
    expected = train(plain, torch.optim.SGD(plain.parameters(), **options), data, epochs=2)
    assert train(model, optimizer, offloaded, epochs=2) == pytest.approx(expected, rel=1e-5)
    assert largest_difference(model, plain) < 2e-5
    assert offload.session_of(model).counters.incidents == 0


@pytest.mark.parametrize("tier", TIERS)
def test_a_transformer_with_real_processes(tier: str, workers: offload.Pool) -> None:
    plain = Transformer()
    ours = copy.deepcopy(plain)
    data = batches(4)
    options: dict[str, Any] = {"lr": 0.05, "momentum": 0.9}
    model, optimizer, offloaded = build(
        ours, torch.optim.SGD(ours.parameters(), **options), tier, data=data, workers=workers
    )
    expected = train(plain, torch.optim.SGD(plain.parameters(), **options), data, epochs=2)
    assert train(model, optimizer, offloaded, epochs=2) == pytest.approx(expected, rel=1e-5)
    assert largest_difference(model, plain) < 2e-5
    assert not any(place.quarantined for place in workers.places)


def test_any_optimizer_when_the_master_updates() -> None:
    plain = Convolutional()
    ours = copy.deepcopy(plain)
    data = batches(5)
    model, optimizer, offloaded = build(ours, torch.optim.AdamW(ours.parameters(), lr=1e-2), data=data)
    expected = train(plain, torch.optim.AdamW(plain.parameters(), lr=1e-2), data)
    assert train(model, optimizer, offloaded) == pytest.approx(expected, rel=1e-4)
    # Adam divides by the gradient's size: a bias before normalisation has none, and rounding decides its direction
    mine, theirs = model.state_dict(), plain.state_dict()
    assert all(
        float((mine[n] - theirs[n]).abs().max()) < 1e-3 for n in mine if n not in ("conv1.bias", "norm.running_mean")
    )


def test_gradients_accumulate_until_zeroed() -> None:
    plain = Convolutional()
    ours = copy.deepcopy(plain)
    data = batches(4)
    reference = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.5)
    model, optimizer, _ = build(ours, torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.5))
    for net, steps in ((plain, reference), (model, optimizer)):
        for x, y in data[:3]:
            functional.cross_entropy(net(x), y).backward()
        steps.step()
        net.zero_grad()
        steps.step()  # nothing to do: no gradients
        functional.cross_entropy(net(data[3][0]), data[3][1]).backward()
        steps.step()
        steps.step()  # the same gradient once more
    assert largest_difference(model, plain) < 1e-5


def test_two_graphs_at_once_and_a_retained_one() -> None:
    plain = Convolutional().eval()
    ours = copy.deepcopy(plain)
    model, optimizer, _ = build(ours, torch.optim.SGD(ours.parameters(), lr=0.1))
    reference = torch.optim.SGD(plain.parameters(), lr=0.1)
    (x1, y1), (x2, y2) = batches(2)
    for net, steps in ((plain, reference), (model, optimizer)):
        first, second = functional.cross_entropy(net(x1), y1), functional.cross_entropy(net(x2), y2)
        second.backward()
        first.backward(retain_graph=True)
        first.backward()
        steps.step()
    assert largest_difference(model, plain) < 1e-5


def test_schedulers_frozen_layers_and_groups() -> None:
    def optimizer_of(net: Convolutional) -> torch.optim.SGD:
        groups = [
            {"params": [*net.conv1.parameters(), *net.fc1.parameters()], "lr": 0.2},
            {"params": net.fc2.parameters()},
        ]
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9)

    plain = Convolutional()
    ours = copy.deepcopy(plain)
    data = batches(6)
    model, optimizer, _ = build(ours, optimizer_of(ours))
    reference = optimizer_of(plain)
    for net, steps in ((plain, reference), (model, optimizer)):
        schedule = torch.optim.lr_scheduler.StepLR(steps, 2, 0.5)
        for x, y in data:
            net.zero_grad()
            functional.cross_entropy(net(x), y).backward()
            steps.step()
            schedule.step()
    assert largest_difference(model, plain) < 1e-5


def test_an_optimizer_with_history_keeps_it() -> None:
    plain = Convolutional()
    reference = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    train(plain, reference, batches(2))
    ours = copy.deepcopy(plain)
    started = torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    started.load_state_dict(copy.deepcopy(reference.state_dict()))
    model, optimizer, _ = build(ours, started)
    later = batches(3, seed=9)
    assert train(model, optimizer, later) == pytest.approx(train(plain, reference, later), rel=1e-5)


def test_clipping_by_norm() -> None:
    plain = Convolutional()
    ours = copy.deepcopy(plain)
    model, optimizer, _ = build(ours, torch.optim.SGD(ours.parameters(), lr=0.1), clipping=True)
    reference = torch.optim.SGD(plain.parameters(), lr=0.1)
    norms = []
    for net, steps in ((plain, reference), (model, optimizer)):
        for x, y in batches(3):
            steps.zero_grad()
            functional.cross_entropy(net(x), y).backward()
            norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), 0.3)))
            steps.step()
    assert norms[3:] == pytest.approx(norms[:3], rel=1e-5)
    assert min(norms) > 0.3
    assert largest_difference(model, plain) < 1e-5


def test_evaluation_and_state_dict_round_trip() -> None:
    ours = Convolutional()
    plain = copy.deepcopy(ours)
    model, _, _ = build(ours, torch.optim.SGD(ours.parameters(), lr=0.1))
    ((x, _),) = batches(1)
    other = Convolutional()
    assert model.load_state_dict(other.state_dict()).missing_keys == []
    assert largest_difference(model, other) < 1e-6
    model.eval()
    with torch.no_grad():
        assert close(model(x), other.eval()(x))
    assert not close(model(x), plain.eval()(x))
    wrong = {**other.state_dict(), "fc1.weight": torch.zeros(2, 2)}
    del wrong["conv1.bias"]
    with pytest.raises(RuntimeError, match=r"(?s)conv1\.bias.*fc1\.weight|fc1\.weight.*conv1\.bias"):
        model.load_state_dict(wrong)


def test_a_place_keeps_only_what_a_backward_pass_can_need() -> None:
    place = InProcess()
    ours = Convolutional()
    model, optimizer, _ = build(ours, torch.optim.SGD(ours.parameters(), lr=0.1), workers=pool(place))
    train(model, optimizer, batches(5))
    with torch.no_grad():
        model(batches(1)[0][0])  # lets the place forget the last step
    assert all(not layer.kept for layer in place.core._layers.values())
