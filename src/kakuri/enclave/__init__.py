"""Enclave: layers split between the normal world and a protected one, weights sealed until they are inside.

Purpose: ``plan(net, layers="5:10")`` -> ``build(path, to, signer)`` -> ``load(path, policy)`` -> ``run(inputs)``.
Guarantees: what the backend states and no more: ``session.guarantee`` says it with every answer. The ``process``
backend is a sandbox, not a TEE.
Source: S0 (DarkneTZ on OP-TEE): a LeNet split by layers between the normal world and TrustZone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kakuri.enclave.backends.contract import Answer, Backend, Guarantee, Policy, Session
    from kakuri.enclave.backends.process import ProcessBackend
    from kakuri.enclave.planning import EnclavePlan, plan
    from kakuri.enclave.session import EnclaveSession, load, prepare

__all__ = [
    "Answer",
    "Backend",
    "EnclavePlan",
    "EnclaveSession",
    "Guarantee",
    "Policy",
    "ProcessBackend",
    "Session",
    "load",
    "plan",
    "prepare",
]

_HOMES = {
    "Answer": "backends.contract",
    "Backend": "backends.contract",
    "EnclavePlan": "planning",
    "EnclaveSession": "session",
    "Guarantee": "backends.contract",
    "Policy": "backends.contract",
    "ProcessBackend": "backends.process",
    "Session": "backends.contract",
    "load": "session",
    "plan": "planning",
    "prepare": "session",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'kakuri.enclave' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kakuri.enclave.{_HOMES[name]}"), name)
