"""How often wrong products are caught, and right ones are not.

Settings: ``--images`` N: wrong products of each kind, and five times as many right ones, per tier; ``--keep`` a folder
for what was counted, which a second call goes on from. Cases: ``one-entry`` (one output off by 1 % of rms), ``stale``
(the weights before the last step), ``zeros``, ``bfloat16`` (lower precision), ``replay`` (the answer to another batch),
and ``honest``, where every alarm is false; ``honest-state`` counts the gradients and weights on the way. Products are
those of ``offload_products``.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import torch

from kakuri.bench.offload_products import WRONG, products
from kakuri.bench.rows import Options, Row
from kakuri.offload.tiers import BLINDING, Tier

HONEST = 5
"""Right products for each wrong one of a kind."""
_PART = 100  # wrong products of each kind between two lines of a kept file
KINDS = (*WRONG, "honest", "honest-state")


def run(options: Options) -> list[Row]:
    """One row per kind of error and tier."""
    torch.set_num_threads(options.threads)
    trials = int(options.settings.get("images", "100"))
    keep = options.settings.get("keep")
    rows = []
    for name, tier in BLINDING.items():
        chosen = [kind for kind in KINDS if options.case in f"{kind}/{name}"]
        if not chosen:
            continue
        path = Path(keep) / f"offload-integrity-{name}.jsonl" if keep else None
        parts = _read(path)
        while (done := sum(part["one-entry"] for part in parts)) < trials:
            torch.manual_seed(len(parts))
            parts.append(count(tier, min(_PART, trials - done)))
            _append(path, parts[-1])
            options.report(f"{name}: {done} of {trials}")
        total = sum(map(Counter, parts), Counter[str]())
        rows += [_row(f"{kind}/{name}", total[kind], total[f"{kind} alarms"]) for kind in chosen]
    return rows


def count(tier: Tier, trials: int) -> dict[str, int]:
    """Products of each kind, and under ``<kind> alarms`` how many did not pass."""
    found: Counter[str] = Counter()

    def note(kind: str, passes: bool) -> None:
        found[kind] += 1
        found[f"{kind} alarms"] += not passes

    drawn = islice(products(tier, lambda passes: note("honest-state", passes)), HONEST * trials)
    for number, product in enumerate(drawn):
        note("honest", product.passes(product.x @ product.w))
        if number % HONEST == 0:
            for kind, wrong in WRONG.items():
                note(kind, product.passes(wrong(product)))
    return dict(found)


def _row(case: str, trials: int, alarms: int) -> Row:
    share = "false_alarm_percent" if case.startswith("honest") else "caught_percent"
    return Row("kakuri", case, {"trials": trials, "alarms": alarms, share: 100.0 * alarms / max(trials, 1)})


def _read(path: Path | None) -> list[dict[str, int]]:
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _append(path: Path | None, part: dict[str, int]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(part) + "\n")
