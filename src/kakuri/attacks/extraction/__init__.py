"""Attacks on an artefact that carries a model: an app's files, a binary, a running program.

Purpose: ``ATTACKS`` by name; each takes an ``Artefact`` and says how much of a ``Truth`` it got out.
Guarantees: an attack sees the artefact alone; the truth scores it. Its self-test demands that it break a planted one.
Does not guarantee: that no stronger attack exists, or that a patient reader needs as long as a program.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kakuri.attacks.extraction.artefact import Artefact, Extraction, Finding, Truth
from kakuri.attacks.extraction.call_tracing import CallTracing
from kakuri.attacks.extraction.carving import Carving
from kakuri.attacks.extraction.disassembly import Disassembly
from kakuri.attacks.extraction.known_layouts import KnownLayouts
from kakuri.attacks.extraction.memory_scan import MemoryScan
from kakuri.attacks.extraction.size_tables import SizeTables
from kakuri.attacks.extraction.weight_statistics import WeightStatistics

__all__ = ["ATTACKS", "Artefact", "Extraction", "Finding", "Truth"]

ATTACKS: Mapping[str, Extraction] = MappingProxyType(
    {
        attack.name: attack
        for attack in (
            Carving(),
            WeightStatistics(),
            KnownLayouts(),
            SizeTables(),
            Disassembly(),
            MemoryScan(),
            CallTracing(),
        )
    }
)
