"""How often right products raise an alarm and wrong ones none, through real blinding and real updates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from kakuri.offload.masks import MaskKey
from kakuri.offload.sgd import SgdStep, update
from kakuri.offload.tiers import BLINDING, Blinding, Tier
from kakuri.offload.verify import Fingerprint, Seen, State, probes_for
from kakuri.trust import SystemEntropy

SHAPES = ((16, 48, 32), (8, 96, 20), (24, 20, 64))  # b, n, m
STEPS, CHECKS = 4, 20  # updates of a weight, and products between two of them
STEP = SgdStep(0.05, momentum=0.9, weight_decay=1e-3)


@dataclass
class Product:
    """Y = X W as a worker makes it and the master unblinds it. stale: W before its last update."""

    fingerprint: Fingerprint
    seen: Seen
    x: Tensor
    w: Tensor
    stale: Tensor
    y: Tensor


def products(tier: Tier) -> Iterator[Product]:
    """Without end: fresh shapes, weights, masks and probes again and again."""
    key, number = MaskKey(SystemEntropy()), 0
    while True:
        b, n, m = SHAPES[number % len(SHAPES)]
        number += 1
        masks = Blinding(tier.right(key.stream("Q", number), n), tier.right(key.stream("R", number), m))
        w, velocity = torch.randn(n, m) * n**-0.5, None
        fingerprint = Fingerprint(State(w), probes=probes_for(n, m, torch.float32, tier.mixes), mixes=tier.mixes)
        blinded_w = masks.weight(w)
        for step in range(STEPS):
            x, dy = torch.randn(b, n), 0.3 * torch.randn(b, m)
            left = tier.left(key.stream("P", number, step, "update"), b)
            gradient = left.apply(x, masks.q).T @ left.apply_dual(dy, masks.r)
            crossed = fingerprint.crossed(x, fingerprint.look(x), dy, fingerprint.look_back(dy))
            fingerprint.add_gradient(crossed, accumulate=False)
            fingerprint.step(STEP)
            stale = masks.unweight(blinded_w)
            velocity = update(blinded_w, velocity, gradient, STEP)
            for check in range(CHECKS):
                x = torch.randn(b, n).relu() if check % 2 else torch.randn(b, n)
                left = tier.left(key.stream("P", number, step, check), b)
                y = left.undo(left.apply(x, masks.q) @ blinded_w, masks.r)
                yield Product(fingerprint, fingerprint.look(x), x, blinded_w, stale, y)


def one_entry(p: Product) -> Tensor:
    y = p.y.clone()
    y[torch.randint(len(y), ()), torch.randint(y.shape[1], ())] += 0.01 * y.square().mean().sqrt()
    return y


WRONG = {
    "one entry off by 1 % of rms": one_entry,
    "stale weights": lambda p: p.x @ p.stale,
    "zeros": lambda p: torch.zeros_like(p.y),
    "lower precision": lambda p: p.y.bfloat16().float(),
    "replay": lambda p: torch.randn_like(p.x) @ p.stale,
}


@pytest.mark.parametrize("tier", BLINDING.values(), ids=lambda tier: tier.name)
@pytest.mark.parametrize(
    ("honest", "wrong"),
    [(3_000, 500), pytest.param(500_000, 50_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])],
)
def test_no_false_alarm_and_hardly_a_miss(tier: Tier, honest: int, wrong: int) -> None:
    alarms = 0
    missed = dict.fromkeys(WRONG, 0)
    kinds = list(WRONG)
    for number, product in zip(range(honest), products(tier), strict=False):
        alarms += not product.fingerprint.output_is_right(product.seen, product.y)
        if number < wrong:
            kind = kinds[number % len(kinds)]
            missed[kind] += product.fingerprint.output_is_right(product.seen, WRONG[kind](product))
    print(f"{tier.name}: {alarms} false alarms in {honest}, missed of {wrong}: {missed}")
    assert alarms == 0
    assert sum(missed.values()) <= max(1, wrong // 10_000), missed
