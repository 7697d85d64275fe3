"""How far offloaded training is from plain training, in single precision, at many points and over many steps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from kakuri import offload

from .networks import Convolutional, batches, pool, train

POINTS = 20
SGD: dict[str, Any] = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}


class Smooth(nn.Sequential):
    """No decision depends on the last bit: no ReLU, no maximum. Inputs (b, 3, 8, 8)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.GELU(),
            nn.AvgPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(192, 24),
            nn.GELU(),
            nn.Linear(24, 4),
        )


def built(module: nn.Module, tier: str, **options: Any) -> Any:
    plan = offload.plan(module, tier=tier, base="private", master="process", workers=pool(), **options)
    return plan.build(torch.optim.SGD(module.parameters(), **SGD))[:2]


@pytest.mark.parametrize("tier", ["T1", "T2"])
@pytest.mark.parametrize("make", [Convolutional, Smooth])
def test_from_equal_state_one_step_has_plain_loss_and_gradients(tier: str, make: type[nn.Module]) -> None:
    ours = make()
    plain = copy.deepcopy(ours)
    model, optimizer = built(ours, tier)
    worst = 0.0
    for x, y in batches(POINTS, size=16):
        plain.load_state_dict(model.state_dict())
        plain.zero_grad()
        optimizer.zero_grad()
        expected, loss = functional.cross_entropy(plain(x), y), functional.cross_entropy(model(x), y)
        expected.backward()
        loss.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        parts = dict(model.named_modules())
        for name, part in plain.named_modules():
            if not isinstance(part, (nn.Linear, nn.Conv2d)):
                continue
            home = getattr(parts[name], "home", None)
            got = parts[name].weight.grad if home is None else home.as_weight(home.remote.gradient())
            worst = max(worst, float((got - part.weight.grad).norm() / part.weight.grad.norm()))
        optimizer.step()
    print(f"{make.__name__}, {tier}: largest relative difference of a gradient {worst:.2g}")
    assert worst < 1e-5


@pytest.mark.parametrize("tier", ["T1", "T2"])
def test_without_decisions_by_the_last_bit_trajectories_stay_together(tier: str) -> None:
    plain = Smooth()
    ours = copy.deepcopy(plain)
    model, optimizer = built(ours, tier)
    data = batches(POINTS, size=16)
    expected = train(plain, torch.optim.SGD(plain.parameters(), **SGD), data)
    assert train(model, optimizer, data) == pytest.approx(expected, rel=1e-5)
