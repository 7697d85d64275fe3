"""How a secret file begins, for programs that must refuse one and may not be able to read one."""

from __future__ import annotations

MAGIC = b"kakuri-secret-1\n"


def is_secret(head: bytes) -> bool:
    """Whether bytes begin like a secret file."""
    return head[: len(MAGIC)] == MAGIC
