"""Trust: who sees what, where randomness comes from, how secrets lie on a disk, and how a process is confined.

Purpose: the vocabulary every protection uses for its assumptions.
Guarantees: importing this module imports nothing that handles a secret; ``kakuri.trust.secret_file`` is imported by
name, and import-linter keeps it out of server code. Names load on first use, so that ``kakuri.trust.sandbox`` comes
with the standard library alone.
Does not guarantee: attestation or key release; they come with the rooms that need them. ``trust.device_key`` (what
packages are sealed to) and ``trust.signing`` (who made them) are imported by name too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kakuri.trust.entropy import RandomnessKindError, SeededRandomness, SystemEntropy, require_system_entropy
    from kakuri.trust.threats import ENCRYPTED_INFERENCE, Exposure, ThreatStatement, who_sees_what

__all__ = [
    "ENCRYPTED_INFERENCE",
    "Exposure",
    "RandomnessKindError",
    "SeededRandomness",
    "SystemEntropy",
    "ThreatStatement",
    "require_system_entropy",
    "who_sees_what",
]

_ENTROPY = ("RandomnessKindError", "SeededRandomness", "SystemEntropy", "require_system_entropy")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'kakuri.trust' has no attribute {name!r}")
    home = "entropy" if name in _ENTROPY else "threats"
    return getattr(importlib.import_module(f"kakuri.trust.{home}"), name)
