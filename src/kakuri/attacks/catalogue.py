"""All attacks by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from kakuri.attacks.activation_inversion import ActivationInversion
from kakuri.attacks.attack import Attack
from kakuri.attacks.base_model_matching import BaseModelMatching
from kakuri.attacks.distinguish_repeats import DistinguishRepeats
from kakuri.attacks.gradient_inversion import GradientInversion
from kakuri.attacks.gram_alignment import GramAlignment
from kakuri.attacks.known_plaintext import KnownPlaintext
from kakuri.attacks.label_from_bytes import LabelFromBytes
from kakuri.attacks.membership_inference import MembershipInference
from kakuri.attacks.pixels_from_bytes import PixelsFromBytes
from kakuri.attacks.row_linking import RowLinking
from kakuri.attacks.size_and_shape_leak import SizeAndShapeLeak
from kakuri.attacks.surrogate_stealing import SurrogateStealing
from kakuri.errors import KakuriError, Problem

ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {attack.name: attack for attack in (LabelFromBytes(), PixelsFromBytes(), SizeAndShapeLeak(), DistinguishRepeats())}
)

#: On blinded matrices instead of messages about pictures; named one by one, ``all`` means the ones above.
MATRIX_ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {
        attack.name: attack
        for attack in (
            BaseModelMatching(),
            RowLinking(),
            GramAlignment(),
            KnownPlaintext(),
            ActivationInversion(),
            GradientInversion(),
        )
    }
)

#: On what a partition leaves open of a network; ``kakuri.enclave.advisor`` runs them.
MODEL_ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {attack.name: attack for attack in (SurrogateStealing(), MembershipInference())}
)


def select(names: Literal["all"] | Sequence[str]) -> tuple[Attack, ...]:
    """The attacks named, or all of ``ATTACKS``. Raises KK-A06 that names every unknown one."""
    if names == "all":
        return tuple(ATTACKS.values())
    wanted = (names,) if isinstance(names, str) else tuple(names)
    every = {**ATTACKS, **MATRIX_ATTACKS, **MODEL_ATTACKS}
    problems = []
    for name in wanted:
        if name not in every:
            close = get_close_matches(name, every, 1)
            hint = f"did you mean {close[0]}?" if close else ""
            problems.append(Problem("KK-A06", "no such attack", got=repr(name), limit=", ".join(every), hint=hint))
    if problems:
        raise KakuriError.collect(problems)
    return tuple(every[name] for name in dict.fromkeys(wanted))
