"""Offloaded training: untrusted workers multiply blinded matrices, the master keeps keys, data and everything else.

Purpose: ``plan(module, tier=, workers=)`` -> ``build(optimizer, data)`` -> train as ever.
Guarantees and limits: the plan's threat statement (``kakuri.offload.threats``) and docs/offload.md; products are
checked, gradients are exact up to rounding. Names load on first use, so that a worker process loads none of the
master's modules.
Source: S1 (Tempo): TEE master, GPU workers, MM-obfuscation, key shift, result verification.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from kakuri.offload._torch import missing_torch

if TYPE_CHECKING:
    from kakuri.offload.build import session_of
    from kakuri.offload.checkpoint import load_checkpoint, save_checkpoint
    from kakuri.offload.places import Pool
    from kakuri.offload.planning import OffloadPlan, plan
    from kakuri.offload.session import Session
    from kakuri.offload.transport.identity import TlsCredentials

__all__ = [
    "OffloadPlan",
    "Pool",
    "Session",
    "TlsCredentials",
    "load_checkpoint",
    "plan",
    "save_checkpoint",
    "session_of",
]

_HOMES = {
    "OffloadPlan": "planning",
    "Pool": "places",
    "Session": "session",
    "TlsCredentials": "transport.identity",
    "load_checkpoint": "checkpoint",
    "plan": "planning",
    "save_checkpoint": "checkpoint",
    "session_of": "build",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'kakuri.offload' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"kakuri.offload.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise missing_torch() from error
        raise
