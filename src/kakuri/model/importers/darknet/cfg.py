"""The text of a Darknet network: ``[section]`` heads with ``key=value`` lines.

Guarantees: bounded text, one section per head, options as they stand; a value is turned into a number only when a layer
    asks for it, strictly and within a range.
Does not guarantee: that the sections make a network; ``layers`` says.
Source: the files that Darknet itself reads: spaces mean nothing anywhere, ``#`` and ``;`` begin a comment line, and
    of a repeated key the first counts.
Errors: KK-M40 not such a text, KK-M41 an option's value.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from kakuri.errors import KakuriError
from kakuri.files import read_bounded

MAX_TEXT_BYTES = 1 << 20
MAX_SECTIONS = 2048
_HEAD = re.compile(r"\[([A-Za-z0-9_]{1,32})\]")
_OPTION = re.compile(r"([A-Za-z0-9_]{1,64})=(.{0,4096})")
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_REAL = re.compile(r"[+-]?(?:[0-9]{1,32}\.?[0-9]{0,32}|\.[0-9]{1,32})(?:[eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Section:
    """One ``[kind]``; ``line`` counts from 1. ``where`` names it in messages."""

    kind: str
    line: int
    options: dict[str, str]
    where: str

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """An integer option within ``low`` ... ``high``. Raises KK-M41."""
        text = self.options.get(name)
        if text is None:
            return default
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise self._bad(name, text, f"an integer from {low} to {high}")
        return int(text)

    def real(self, name: str, default: float) -> float:
        """A finite number. Raises KK-M41."""
        text = self.options.get(name)
        if text is None:
            return default
        if not _REAL.fullmatch(text) or not math.isfinite(float(text)):
            raise self._bad(name, text, "a number")
        return float(text)

    def integers(self, name: str, limit: int) -> list[int]:
        """At least one and at most ``limit`` integers, separated by commas. Raises KK-M41."""
        parts = self.options.get(name, "").split(",")
        if len(parts) > limit or not all(_INTEGER.fullmatch(part) for part in parts):
            raise self._bad(name, self.options.get(name, ""), f"1 to {limit} integers separated by commas")
        return [int(part) for part in parts]

    def choice(self, name: str, default: str) -> str:
        return self.options.get(name, default)

    def _bad(self, name: str, text: str, limit: str) -> KakuriError:
        return KakuriError("KK-M41", f"option {name!r}", where=self.where, got=ascii(text)[:80], limit=limit)


def read_cfg(path: Path) -> list[Section]:
    """The sections of ``path``, ``[net]`` first. Raises KK-F12, KK-F13, KK-M40."""
    data = read_bounded(path, limit_bytes=MAX_TEXT_BYTES)
    try:
        return parse_cfg(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise KakuriError("KK-M40", "a .cfg file is text", where=path) from None


def parse_cfg(text: str) -> list[Section]:
    """As ``read_cfg``; layer sections are called ``layer 3 [maxpool], line 20`` in messages."""
    sections: list[Section] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = re.sub(r"[ \t\r]", "", raw)
        if not line or line[0] in "#;":
            continue
        head, option = _HEAD.fullmatch(line), _OPTION.fullmatch(line)
        if head is not None:
            sections.append(_section(head[1], number, len(sections)))
        elif option is not None and sections:
            sections[-1].options.setdefault(option[1], option[2])
        else:
            what = "an option before the first [section]" if option is not None else "neither [section] nor key=value"
            raise KakuriError("KK-M40", what, where=f"line {number}", got=ascii(line)[:80])
        if len(sections) > MAX_SECTIONS:
            raise KakuriError("KK-M40", "too many sections", where=f"line {number}", limit=MAX_SECTIONS)
    if not sections or sections[0].kind not in ("net", "network"):
        got = f"[{sections[0].kind}]" if sections else "nothing"
        raise KakuriError("KK-M40", "a Darknet network begins with [net]", got=got)
    if len(sections) == 1:
        raise KakuriError("KK-M40", "the network has no layers")
    return sections


def _section(kind: str, line: int, count: int) -> Section:
    where = f"layer {count - 1} [{kind}], line {line}" if count else f"[{kind}], line {line}"
    return Section(kind, line, {}, where)
