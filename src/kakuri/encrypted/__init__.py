"""Encrypted inference: the server answers on ciphertexts and never sees input or answer.

Purpose: ``plan(net, calibration=xs)`` -> ``plan.build()`` -> ``client.encrypt``, ``server.run``, ``client.decrypt``.
Guarantees and limits: ``kakuri.trust.threats.ENCRYPTED_INFERENCE`` and SECURITY.md. Names load on first use, so that a
process that imports only ``Server`` never loads the module that has a secret-key type.
Source: S4 (Ishiyama, Suzuki, Yamana): CKKS, batch-axis and channel-wise packing, channel pruning.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kakuri.encrypted.client import Client
    from kakuri.encrypted.deployment import Deployment
    from kakuri.encrypted.diagonals_cache import DiagonalsCache
    from kakuri.encrypted.messages import Answer, Query
    from kakuri.encrypted.planning import EncryptedPlan, plan
    from kakuri.encrypted.server import Server

__all__ = ["Answer", "Client", "Deployment", "DiagonalsCache", "EncryptedPlan", "Query", "Server", "plan"]

_HOMES = {
    "Answer": "messages",
    "Client": "client",
    "Deployment": "deployment",
    "DiagonalsCache": "diagonals_cache",
    "EncryptedPlan": "planning",
    "Query": "messages",
    "Server": "server",
    "plan": "planning",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'kakuri.encrypted' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kakuri.encrypted.{_HOMES[name]}"), name)
