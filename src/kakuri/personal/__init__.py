"""Personalisation: the edge server hands down a model and a little data; what the device learns never leaves it.

Purpose: ``plan(net, data).build("general.kkr")`` on the server;
``open("general.kkr", publisher=...).fit(photos)`` on the device.
Guarantees and limits: ``threat.PERSONALISATION`` and docs/personal.md. Names load on first use.
Source: S2 (private personalisation at the edge).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kakuri.personal.dataset import GeneralData, near_duplicates
    from kakuri.personal.device import Device
    from kakuri.personal.inputs.spec import InputSpec
    from kakuri.personal.personalizer import FitSettings, Personalizer, open
    from kakuri.personal.planning import PersonalPlan, PlanSettings, plan
    from kakuri.personal.recipe import Recipe
    from kakuri.personal.signature import Publisher

__all__ = [
    "Device",
    "FitSettings",
    "GeneralData",
    "InputSpec",
    "PersonalPlan",
    "Personalizer",
    "PlanSettings",
    "Publisher",
    "Recipe",
    "near_duplicates",
    "open",
    "plan",
]

_HOMES = {
    "Device": "device",
    "FitSettings": "personalizer",
    "GeneralData": "dataset",
    "InputSpec": "inputs.spec",
    "PersonalPlan": "planning",
    "Personalizer": "personalizer",
    "PlanSettings": "planning",
    "Publisher": "signature",
    "Recipe": "recipe",
    "near_duplicates": "dataset",
    "open": "personalizer",
    "plan": "planning",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'kakuri.personal' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kakuri.personal.{_HOMES[name]}"), name)
