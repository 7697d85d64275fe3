"""Quantised graphs: what their regions mean in integers. The contract is in docs/models.md.

Purpose: ``regions`` reads a graph, ``fixed_point`` has the arithmetic, ``integer_values`` runs a graph as the
    source's reference kernels do.
Guarantees: importing this module imports nothing heavy.
Does not guarantee: speed; generated code is measured against it, not made from it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kakuri.model.quantized.executor import integer_values
    from kakuri.model.quantized.reading import Operand, Region, needed, regions

__all__ = ["Operand", "Region", "integer_values", "needed", "regions"]

_HOMES = {
    "Operand": "reading",
    "Region": "reading",
    "integer_values": "executor",
    "needed": "reading",
    "regions": "reading",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'kakuri.model.quantized' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kakuri.model.quantized.{home}"), name)
