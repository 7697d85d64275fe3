"""Code generation: a model becomes C11 that needs no model file and no inference library.

Purpose: ``plan(net, target=, entry=, weights=)`` -> ``plan.build(folder)`` -> ``source.check(inputs)``.
Guarantees: the emitted code has no heap, no file access and no global mutable state; equal inputs, equal bytes.
Does not guarantee: that weights are hard to read out of the binary; at protection level 0 they are not hidden at all.
Source: S3 (CustomDLCoder).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kakuri.codegen.planning import CodegenPlan, plan
    from kakuri.codegen.source import Source

__all__ = ["CodegenPlan", "Source", "plan"]

_HOMES = {"CodegenPlan": "planning", "Source": "source", "plan": "planning"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'kakuri.codegen' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kakuri.codegen.{_HOMES[name]}"), name)
