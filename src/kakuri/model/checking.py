"""``check``: every reason why a protection cannot run a model, at once.

Guarantees: all problems are found in one walk; an unknown protection is refused with the known ones.
Does not guarantee: anything by itself; what a protection can compute is known in its own room, ``kakuri.<room>.check``,
which offers ``problems(net) -> list[ModelProblem]`` and is imported when asked for.
"""

from __future__ import annotations

import difflib
import importlib

from kakuri.errors import KakuriError
from kakuri.model.report import Report

#: The protections that exist; DESIGN.md's others join with their rooms.
PROTECTIONS = ("encrypted", "codegen", "offload")


def check(net: object, protection: str) -> Report:
    """Every problem of ``net`` under ``protection``: a model from ``load``, or the torch module for ``offload``.

    Raises KK-M18 for an unknown protection.
    """
    if protection not in PROTECTIONS:
        close = difflib.get_close_matches(protection, PROTECTIONS, n=1)
        raise KakuriError(
            "KK-M18",
            "unknown protection",
            got=repr(protection),
            limit=", ".join(PROTECTIONS),
            hint=f"did you mean {close[0]!r}?" if close else "",
        )
    room = importlib.import_module(f"kakuri.{protection}.check")
    return Report(protection, tuple(room.problems(net)))
