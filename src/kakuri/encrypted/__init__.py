"""Encrypted inference: the server answers on ciphertexts and never sees input or answer.

Purpose: ``plan(net, calibration=xs)`` -> ``plan.build()`` -> ``client.encrypt``, ``server.run``, ``client.decrypt``.
Guarantees and limits: ``kakuri.trust.threats.ENCRYPTED_INFERENCE`` and SECURITY.md.
Source: S4 (Ishiyama, Suzuki, Yamana): CKKS, batch-axis and channel-wise packing, channel pruning.
"""

from kakuri.encrypted.client import Client
from kakuri.encrypted.deployment import Deployment
from kakuri.encrypted.messages import Answer, Query
from kakuri.encrypted.plan import EncryptedPlan, plan
from kakuri.encrypted.server import Server

__all__ = ["Answer", "Client", "Deployment", "EncryptedPlan", "Query", "Server", "plan"]
