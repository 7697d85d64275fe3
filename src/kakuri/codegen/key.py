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

from kakuri.codegen.protect.draws import KEY_BYTES
from kakuri.errors import KakuriError
from kakuri.trust.entropy import SystemEntropy
from kakuri.trust.secret_file import read_secret, write_secret

KIND = "codegen-weights"


@dataclass(frozen=True)
class WeightsKey:
    """Never printed."""

    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> WeightsKey:
        return cls(SystemEntropy().draw(KEY_BYTES))

    @classmethod
    def load(cls, path: Path | str) -> WeightsKey:
        """Raises KK-K43 and the codes of ``read_secret``."""
        section = read_secret(path, KIND).sections.get("key", b"")
        if len(section) != KEY_BYTES:
            raise KakuriError("KK-K43", "not a key for weights", where=path, got=f"{len(section)} bytes")
        return cls(section)

    def save(self, path: Path | str) -> None:
        """Raises as ``write_secret``."""
        write_secret(path, KIND, {"key": self.secret}, public={"use": "protects the weights of generated code"})
