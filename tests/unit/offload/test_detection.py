"""How often right products raise an alarm and wrong ones none, through real blinding, real updates and the looks that
ride on them. What is wrong is wrong where a worker can make it so: in its blinded answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kakuri.bench.offload_integrity import HONEST, KINDS, count, run
from kakuri.bench.offload_products import WRONG, products
from kakuri.bench.rows import Options
from kakuri.offload.masks import MaskKey
from kakuri.offload.tiers import BLINDING, Blinding, Tier
from kakuri.offload.verify import Fingerprint, State
from kakuri.trust import SystemEntropy

TIERS = pytest.mark.parametrize("tier", BLINDING.values(), ids=lambda tier: tier.name)


@TIERS
@pytest.mark.parametrize("trials", [100, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_no_false_alarm_and_hardly_a_miss(tier: Tier, trials: int) -> None:
    found = count(tier, trials)
    assert found["honest"] == HONEST * trials
    assert found["honest-state"] > trials // 10
    assert found["honest alarms"] == found["honest-state alarms"] == 0
    for kind in WRONG:
        assert found[kind] == trials
        assert found[f"{kind} alarms"] >= trials - max(1, trials // 10_000), kind


@TIERS
def test_products_are_of_both_passes(tier: Tier) -> None:
    drawn = [product.back for product, _ in zip(products(tier, lambda _: None), range(20), strict=False)]
    assert 0 < sum(drawn[::HONEST]) < len(drawn[::HONEST])


def test_a_count_goes_on_where_it_stopped(tmp_path: Path) -> None:
    options = Options(settings={"images": "3", "keep": str(tmp_path)}, case="/T1")
    first = {row.case: row.figures for row in run(options)}
    assert set(first) == {f"{kind}/T1" for kind in KINDS}
    (path,) = tmp_path.iterdir()
    part = json.loads(path.read_text(encoding="utf-8"))
    assert part["honest"] == first["honest/T1"]["trials"] == 3 * HONEST
    more = {row.case: row.figures for row in run(Options(settings={**options.settings, "images": "5"}, case="/T1"))}
    assert more["honest/T1"]["trials"] == 5 * HONEST
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def background(rows: int, n: int, m: int) -> tuple[Tensor, Tensor]:
    """X of which nine tenths are equal rows, and dY with equal rows there, which batch normalisation makes sum to
    zero."""
    x, dy = torch.randn(rows, n), 0.01 * torch.randn(rows, m)
    equal = torch.rand(rows) < 0.9
    x[equal], dy[equal] = -0.4242, 0.0123
    return x, dy - dy.mean(0)


@TIERS
@pytest.mark.parametrize("fetched", [False, True])
def test_gradients_of_pictures_with_a_background_raise_no_alarm(tier: Tier, fetched: bool) -> None:
    for _ in range(4):
        x, dy = background(60_000, 9, 4)
        key, w = MaskKey(SystemEntropy()), torch.randn(9, 4)
        masks = Blinding(tier.right(key.stream("Q"), 9), tier.right(key.stream("R"), 4))
        left = tier.left(key.stream("P"), len(x))
        fingerprint = Fingerprint(State(w), probes=3, mixes=tier.mixes)
        gradient = masks.unweight(left.apply(x, masks.q).T @ left.apply_dual(dy, masks.r))
        seen = fingerprint.look(x)
        back = fingerprint.look_back(dy, seen)
        crossed = fingerprint.crossed(
            None if fetched else x,
            dy,
            seen,
            back,
            see_back=lambda *_: None,
            plain=lambda sums, squares: (sums, squares),
        )
        fingerprint.add_gradient(crossed, accumulate=False)
        assert fingerprint.gradient_is_right(gradient)
        wrong = gradient.clone()
        wrong[3, 2] += 1e-3 * gradient.square().mean().sqrt()
        assert not fingerprint.gradient_is_right(wrong)
