"""The source documents' networks, their data, their training, and what ships trained.

Purpose: one place for networks (`networks`), data (`data`), training (`training`), the shipped sample of MNIST test
images (`samples`) and the shipped trained networks (`weights`).
Guarantees: `data`, `samples` and `weights` need no torch; `networks` and `training` say which extra to install.
Does not guarantee: that data may be used for every purpose; each dataset carries its provenance as text.
Source: S4 (Ishiyama, Suzuki, Yamana), section 5; the later rooms add their own documents' networks.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kakuri.zoo import data, networks, samples, training, weights

__all__ = ["data", "networks", "samples", "training", "weights"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"kakuri.zoo.{name}")
    raise AttributeError(f"module 'kakuri.zoo' has no attribute {name!r}")
