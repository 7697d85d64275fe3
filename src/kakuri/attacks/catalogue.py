"""All attacks by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from kakuri.attacks.attack import Attack
from kakuri.attacks.distinguish_repeats import DistinguishRepeats
from kakuri.attacks.label_from_bytes import LabelFromBytes
from kakuri.attacks.pixels_from_bytes import PixelsFromBytes
from kakuri.attacks.size_and_shape_leak import SizeAndShapeLeak
from kakuri.errors import KakuriError, Problem

ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {attack.name: attack for attack in (LabelFromBytes(), PixelsFromBytes(), SizeAndShapeLeak(), DistinguishRepeats())}
)


def select(names: Literal["all"] | Sequence[str]) -> tuple[Attack, ...]:
    """The attacks named, or all. Raises KK-A06 that names every unknown one."""
    if names == "all":
        return tuple(ATTACKS.values())
    wanted = (names,) if isinstance(names, str) else tuple(names)
    problems = []
    for name in wanted:
        if name not in ATTACKS:
            close = get_close_matches(name, ATTACKS, 1)
            hint = f"did you mean {close[0]}?" if close else ""
            problems.append(Problem("KK-A06", "no such attack", got=repr(name), limit=", ".join(ATTACKS), hint=hint))
    if problems:
        raise KakuriError.collect(problems)
    return tuple(ATTACKS[name] for name in dict.fromkeys(wanted))
