"""Models: loading, checking, and the passes every protection shares.

Purpose: ``load`` -> ``onnx_ir.Model`` in normal form; ``check`` -> every problem with its repair; reference answers.
Guarantees: importing this module imports neither torch nor onnxruntime; each function loads its file on first use.
Does not guarantee: anything about a protection; the rooms lower these models themselves.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kakuri.model.checking import PROTECTIONS, check
    from kakuri.model.loading import load
    from kakuri.model.polynomials import document_activation
    from kakuri.model.reference import calibrate, reference_outputs, reference_values
    from kakuri.model.report import ModelProblem, Report, Severity
    from kakuri.model.serialize import from_bytes, save, to_bytes

__all__ = [
    "PROTECTIONS",
    "ModelProblem",
    "Report",
    "Severity",
    "calibrate",
    "check",
    "document_activation",
    "from_bytes",
    "load",
    "reference_outputs",
    "reference_values",
    "save",
    "to_bytes",
]

_HOMES = {
    "PROTECTIONS": "checking",
    "ModelProblem": "report",
    "Report": "report",
    "Severity": "report",
    "calibrate": "reference",
    "check": "checking",
    "document_activation": "polynomials",
    "from_bytes": "serialize",
    "load": "loading",
    "reference_outputs": "reference",
    "reference_values": "reference",
    "save": "serialize",
    "to_bytes": "serialize",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'kakuri.model' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kakuri.model.{home}"), name)
