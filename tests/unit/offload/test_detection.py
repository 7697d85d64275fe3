"""How often right products raise an alarm and wrong ones none, through real blinding, real updates and the looks that
ride on them. What is wrong is wrong where a worker can make it so: in its blinded answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from kakuri.offload.masks import MaskKey
from kakuri.offload.remote import Operand
from kakuri.offload.sgd import SgdStep, update
from kakuri.offload.tiers import BLINDING, Blinding, Left, Tier
from kakuri.offload.verify import Fingerprint, State, probes_for
from kakuri.trust import SystemEntropy

SHAPES = ((16, 48, 32), (8, 96, 20), (24, 20, 64))  # b, n, m
STEPS, CHECKS = 4, 20  # updates of a weight, and products between two of them
STEP = SgdStep(0.05, momentum=0.9, weight_decay=1e-3)


@dataclass
class Product:
    """Y' = X' W' of a worker. x: X'; w: W'; stale: W' before its last update; other: X' of another batch."""

    fingerprint: Fingerprint
    masks: Blinding
    left: Left
    operand: Operand
    x: Tensor
    w: Tensor
    stale: Tensor
    other: Tensor

    def passes(self, answer: Tensor) -> bool:
        look = self.fingerprint.ask_output(len(answer))
        y = self.left.undo(answer, self.masks.r, look)
        return self.fingerprint.output_is_right(self.operand.seen_by(self.fingerprint), y, look)


def operand_of(x: Tensor, left: Left, masks: Blinding, across: Operand | None = None) -> Operand:
    apply, right = (left.apply, masks.q) if across is None else (left.apply_dual, masks.r)
    return Operand(x, left.blinded_rows, lambda values, look: apply(values, right, None, look), across)


def products(tier: Tier) -> Iterator[Product]:
    """Without end: fresh shapes, weights, masks and probes again and again. Every other update is followed by a second
    pass over X, the others by the gradient that the worker sends."""
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
            operand = operand_of(x, left, masks)
            turned = operand_of(dy, left, masks, operand)
            seen, seen_back = operand.seen_by(fingerprint), turned.seen_by(fingerprint)
            given = x if step % 2 else None
            crossed = fingerprint.crossed(given, dy, seen, seen_back, see_back=turned.see, plain=left.plain)
            fingerprint.add_gradient(crossed, accumulate=False)
            assert fingerprint.gradient_is_right(masks.unweight(gradient))
            fingerprint.step(STEP)
            stale = blinded_w.clone()
            velocity = update(blinded_w, velocity, gradient, STEP)
            other = left.apply(x, masks.q)
            for check in range(CHECKS):
                x = torch.randn(b, n).relu() if check % 2 else torch.randn(b, n)
                left = tier.left(key.stream("P", number, step, check), b)
                sent = left.apply(x, masks.q)
                yield Product(fingerprint, masks, left, operand_of(x, left, masks), sent, blinded_w, stale, other)


def one_entry(p: Product) -> Tensor:
    y = p.x @ p.w
    y[torch.randint(len(y), ()), torch.randint(y.shape[1], ())] += 0.01 * y.square().mean().sqrt()
    return y


WRONG = {
    "one entry off by 1 % of rms": one_entry,
    "stale weights": lambda p: p.x @ p.stale,
    "zeros": lambda p: torch.zeros(len(p.x), p.w.shape[1]),
    "lower precision": lambda p: (p.x @ p.w).bfloat16().float(),
    "replay": lambda p: p.other @ p.w,
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
        alarms += not product.passes(product.x @ product.w)
        if number < wrong:
            kind = kinds[number % len(kinds)]
            missed[kind] += product.passes(WRONG[kind](product))
    print(f"{tier.name}: {alarms} false alarms in {honest}, missed of {wrong}: {missed}")
    assert alarms == 0
    assert sum(missed.values()) <= max(1, wrong // 10_000), missed
