"""The builder's key for protection levels 2 to 4.

Purpose: ``WeightsKey.generate().save(path)`` where projects are built; ``key.secret`` goes into ``plan(key=)``, and
from level 3 on to whatever opens the weights on the device.
Guarantees: 32 bytes of the operating system's randomness; the file has mode 0600.
Does not guarantee: anything, once the key lies in the app beside the weights.
Errors: those of ``trust.secret_file``, KK-K43 not such a key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kakuri.trust.secret_file import write_secret
from kakuri.trust.symmetric_key import SECTION, new_symmetric_key, read_symmetric_key

KIND = "codegen-weights"


@dataclass(frozen=True)
class WeightsKey:
    """Never printed."""

    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> WeightsKey:
        return cls(new_symmetric_key())

    @classmethod
    def load(cls, path: Path | str) -> WeightsKey:
        """Raises KK-K43 and the codes of ``read_secret``."""
        return cls(read_symmetric_key(path, KIND, "a key for weights"))

    def save(self, path: Path | str) -> None:
        """Raises as ``write_secret``."""
        write_secret(path, KIND, {SECTION: self.secret}, public={"use": "protects the weights of generated code"})
