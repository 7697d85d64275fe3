"""The ``optee`` backend: a Trusted Application and its client in C, for OP-TEE 4.

Purpose: ``plan(net, layers=..., answer=...)`` -> ``build(folder, recipient, signer)``.
Guarantees: what docs/enclave.md states for it; nothing here runs in a TEE by itself.
"""

from __future__ import annotations

from kakuri.enclave.optee.planning import ANSWERS, OpteePlan, plan

__all__ = ["ANSWERS", "OpteePlan", "plan"]
