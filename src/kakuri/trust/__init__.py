"""Trust: who sees what, where randomness comes from, and how secrets lie on a disk.

Purpose: the vocabulary every protection uses for its assumptions.
Guarantees: importing this module imports nothing that handles a secret; ``kakuri.trust.secret_file`` is imported by
name, and import-linter keeps it out of server code.
Does not guarantee: attestation or key release; they come with the rooms that need them. ``trust.device_key`` (what
packages are sealed to) and ``trust.signing`` (who made them) are imported by name too.
"""

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
