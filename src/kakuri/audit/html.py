"""HTML that cannot be forgotten to be escaped.

Purpose: ``tag`` builds elements; text given as ``str`` is escaped, only ``Markup`` made here is not.
Guarantees: no child and no attribute value can open or close an element.
Does not guarantee: valid nesting; the caller chooses names of elements and attributes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TypeAlias


@dataclass(frozen=True)
class Markup:
    """Finished HTML."""

    text: str


Child: TypeAlias = "Markup | str"
_VOID = frozenset({"br", "meta", "line", "rect", "circle", "path"})


def tag(name: str, /, *children: Child, **attributes: str | float) -> Markup:
    """``<name ...>children</name>``; a trailing underscore (``class_``) is dropped and others become dashes."""
    listed = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Markup(f"<{name}{listed}>" if name in {"br", "meta"} else f"<{name}{listed}/>")
    return Markup(f"<{name}{listed}>{join(children).text}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    return Markup("".join(child.text if isinstance(child, Markup) else escape(child) for child in children))


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
