"""How often wrong products are caught, and right ones are not.

Settings: ``--images`` products per case. Cases: ``one-entry`` (one output off by 1 % of rms), ``stale`` (the weights
before the last step), ``zeros``, ``bfloat16`` (lower precision), ``replay`` (the answer to another batch), and
``honest``, where every alarm is false. Each product has probes of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from kakuri.bench.rows import Options, Row
from kakuri.offload.verify import Fingerprint, State, probes_for

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
    """One row per kind of error and tolerance (of a tier that mixes, or not)."""
    torch.set_num_threads(options.threads)
    trials = int(options.settings.get("images", "100"))
    rows = []
    for kind, wrong in WRONG.items():
        for mixes in (False, True):
            case = f"{kind}/{'T2' if mixes else 'T1'}"
            if options.case in case:
                rows.append(_case(case, wrong, mixes, trials))
                options.report(case)
    return rows


def _case(case: str, wrong: Callable[[Tensor, Tensor], Tensor], mixes: bool, trials: int) -> Row:
    torch.manual_seed(0)
    probes = probes_for(INPUTS, OUTPUTS, torch.float32, mixes)
    alarms, checking, multiplying = 0, 0.0, 0.0
    for _ in range(trials):
        x, w = torch.randn(ROWS, INPUTS), torch.randn(INPUTS, OUTPUTS) * INPUTS**-0.5
        fingerprint = Fingerprint(State(w), probes=probes, mixes=mixes)
        start = time.perf_counter()
        y = wrong(x, w)
        middle = time.perf_counter()
        alarms += not fingerprint.output_is_right(fingerprint.look(x), y)
        multiplying += middle - start
        checking += time.perf_counter() - middle
    share = "false_alarm_percent" if case.startswith("honest") else "caught_percent"
    return Row(
        "kakuri",
        case,
        {"trials": trials, "alarms": alarms, share: 100.0 * alarms / trials, "probes": probes}
        | {"check_seconds": checking / trials, "product_seconds": multiplying / trials},
    )
