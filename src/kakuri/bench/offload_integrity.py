"""How often wrong products are caught, and right ones are not.

Settings: ``--images`` products per case. Cases: ``one-entry`` (one output off by 1 % of rms), ``stale`` (the weights
before the last step), ``zeros``, ``bfloat16`` (lower precision), ``replay`` (the answer to another batch), and
``honest``, where every alarm is false. Each product has masks and probes of its own; what is wrong is wrong in the
blinded answer, and what the check needs is seen while blinding and unblinding, as in training. ``check_seconds``: of
both looks and the comparison, once for each product.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from kakuri.bench.rows import Options, Row
from kakuri.offload.masks import MaskKey
from kakuri.offload.tiers import BLINDING, Blinding, Tier
from kakuri.offload.verify import Fingerprint, Seen, State, probes_for
from kakuri.trust import SystemEntropy

ROWS, INPUTS, OUTPUTS = 64, 256, 128


def _one_entry(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    y[torch.randint(len(y), ()), torch.randint(y.shape[1], ())] += 0.01 * y.square().mean().sqrt()
    return y


WRONG: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "one-entry": _one_entry,
    "stale": lambda x, w: x @ (w + 1e-3 * torch.randn_like(w) * w.square().mean().sqrt()),
    "zeros": lambda x, w: torch.zeros(len(x), w.shape[1]),
    "bfloat16": lambda x, w: (x.bfloat16() @ w.bfloat16()).float(),
    "replay": lambda x, w: torch.randn_like(x) @ w,
    "honest": lambda x, w: x @ w,
}


def run(options: Options) -> list[Row]:
    """One row per kind of error and tier."""
    torch.set_num_threads(options.threads)
    trials = int(options.settings.get("images", "100"))
    rows = []
    for kind, wrong in WRONG.items():
        for name, tier in BLINDING.items():
            case = f"{kind}/{name}"
            if options.case in case:
                rows.append(_case(case, wrong, tier, trials))
                options.report(case)
    return rows


def _case(case: str, wrong: Callable[[Tensor, Tensor], Tensor], tier: Tier, trials: int) -> Row:
    torch.manual_seed(0)
    key = MaskKey(SystemEntropy())
    probes = probes_for(INPUTS, OUTPUTS, torch.float32, tier.mixes)
    alarms, checking, multiplying = 0, 0.0, 0.0
    for number in range(trials):
        x, w = torch.randn(ROWS, INPUTS), torch.randn(INPUTS, OUTPUTS) * INPUTS**-0.5
        masks = Blinding(tier.right(key.stream("Q", number), INPUTS), tier.right(key.stream("R", number), OUTPUTS))
        left = tier.left(key.stream("P", number), ROWS)
        fingerprint = Fingerprint(State(w), probes=probes, mixes=tier.mixes)
        asked = fingerprint.ask(left.blinded_rows)
        sent, held = left.apply(x, masks.q, None, asked), masks.weight(w)
        start = time.perf_counter()
        answer = wrong(sent, held)
        multiplying += time.perf_counter() - start
        look = fingerprint.ask_output(len(answer))
        y = left.undo(answer, masks.r, look)
        start = time.perf_counter()
        alarms += not fingerprint.output_is_right(Seen(fingerprint, asked), y, look)
        checking += time.perf_counter() - start + asked.seconds + look.seconds
    share = "false_alarm_percent" if case.startswith("honest") else "caught_percent"
    return Row(
        "kakuri",
        case,
        {"trials": trials, "alarms": alarms, share: 100.0 * alarms / trials, "probes": probes}
        | {"check_seconds": checking / trials, "product_seconds": multiplying / trials},
    )
