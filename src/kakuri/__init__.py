"""Kakuri: run and train neural networks on machines their owner does not trust.

Purpose: the front door. ``kk.load``, ``kk.check`` and one module per protection (``kk.encrypted`` ...).
Guarantees: importing this module imports no protection, no torch and no native code; each room loads on first use.
Does not guarantee: anything about security by itself; read SECURITY.md and the room's own threat statement.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from kakuri.errors import KakuriError, KakuriWarning
from kakuri.version import __version__

if TYPE_CHECKING:
    from kakuri import attacks, audit, codegen, enclave, encrypted, model, offload, package, personal, trust, zoo
    from kakuri.model import check, load

__all__ = [
    "KakuriError",
    "KakuriWarning",
    "__version__",
    "attacks",
    "audit",
    "check",
    "codegen",
    "enclave",
    "encrypted",
    "load",
    "model",
    "offload",
    "package",
    "personal",
    "trust",
    "zoo",
]

_ROOMS = frozenset(
    {"attacks", "audit", "codegen", "enclave", "encrypted", "model", "offload", "package", "personal", "trust", "zoo"}
)
_FUNCTIONS = {"load": "kakuri.model", "check": "kakuri.model"}


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        room: ModuleType = importlib.import_module(f"kakuri.{name}")
        return room
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'kakuri' has no attribute {name!r}")
