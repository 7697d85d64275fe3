"""What cannot be offloaded, layer by layer.

Purpose: ``kk.check(module, "offload")`` calls ``problems``.
Guarantees: every module with products that stay in the master is named with a reason; the training runs all the same.
"""

from __future__ import annotations

from kakuri.model.report import ModelProblem
from kakuri.offload._torch import missing_torch


def problems(net: object) -> list[ModelProblem]:
    """Every problem of a torch module, in its order. Raises KK-O01 and KK-O05."""
    try:
        from kakuri.offload.select import select  # noqa: PLC0415 (needs torch)
    except ModuleNotFoundError as error:
        raise missing_torch() from error
    return list(select(net).problems)
