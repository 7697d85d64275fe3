"""What it costs the master to blind a batch: processor time per element, undoing it included, beside a plain copy.

Nanoseconds are of processor time, all threads together, so that a busy machine disturbs them little.

Settings: ``--runs`` repetitions; the least of them counts. Cases are ``T1/1024x1024`` and so on: rows by columns of
a batch in float32 with all masks drawn beforehand (drawing them is the row's ``drawing_ns``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from kakuri.bench.rows import Options, Row
from kakuri.offload.masks import MaskKey
from kakuri.offload.tiers import BLINDING, Tier
from kakuri.trust import SystemEntropy

SHAPES = ((1024, 1024), (8192, 144))


def run(options: Options) -> list[Row]:
    """Per tier and shape a row of ours and one of copying as many bytes; ``ratio`` is copy time over blinding time."""
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for name, tier in BLINDING.items():
        for shape in SHAPES:
            case = f"{name}/{shape[0]}x{shape[1]}"
            if options.case in case:
                rows += _case(case, tier, shape, options)
                options.report(case)
    return rows


def _case(case: str, tier: Tier, shape: tuple[int, int], options: Options) -> list[Row]:
    key = MaskKey(SystemEntropy())
    b, n = shape
    x = torch.randn(b, n)
    left, right = tier.left(key.stream("P"), b), tier.right(key.stream("Q"), n)
    blinded, target = left.apply(x, right), torch.empty_like(x)
    room = torch.empty_like(blinded)
    scale = 1e9 / x.numel()
    copying = scale * _least(options.runs, lambda: target.copy_(x))
    blinding = scale * _least(options.runs, lambda: left.apply(x, right, room))
    figures: dict[str, float | int | str] = {
        "blinding_ns": blinding,
        "unblinding_ns": scale * _least(options.runs, lambda: left.undo(blinded, right)),
        "drawing_ns": scale * _least(options.runs, lambda: tier.left(key.stream("P"), b)),
        "added_rows": len(blinded) - b,
        "ratio": copying / blinding,
    }
    return [Row("kakuri", case, figures), Row("copy", case, {"copy_ns": copying})]


def _least(runs: int, action: Callable[[], object]) -> float:
    """Processor seconds, of all threads together, of the cheapest of ``runs`` calls."""
    action()
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        action()
        seconds.append(time.process_time() - start)
    return min(seconds)
