"""What is attacked, and the part of it that an attack may see.

Purpose: ``Target`` holds a recording (the bytes an adversary really held) and, apart from it, the truth for scoring;
``Question`` is what an attack gets.
Guarantees: a ``Question`` holds no reference to the answers that are asked for. Of the truth it holds only the share
that the adversary is granted as known (an adversary with labelled traffic, the strongest case for these attacks).
Does not guarantee: that the recording is complete; whoever makes a ``Target`` says what was recorded.
Errors: KK-A01 for a recording that does not fit together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError, Problem

Messages: TypeAlias = tuple[tuple[bytes, ...], ...]
"""Per sample the messages that crossed."""
Truth: TypeAlias = NDArray[Any]
KNOWN_SHARE = 0.5


def messages(samples: Sequence[bytes | Sequence[bytes]]) -> Messages:
    """Samples of one message each (bytes) or of several (a sequence of bytes). Raises KK-A01 for anything else."""
    result = []
    for index, sample in enumerate(samples):
        parts = tuple(sample) if isinstance(sample, (list, tuple)) else (sample,)
        if not all(isinstance(part, bytes) for part in parts):
            raise KakuriError("KK-A01", "a view holds bytes", where=f"sample {index}", got=type(sample).__name__)
        result.append(parts)
    return tuple(result)


@dataclass(frozen=True)
class Target:
    """A recording of n samples.

    views: name -> ``messages([...])``, for example ``query`` and ``answer``.
    truth: name -> (n, ...): ``label`` class numbers, ``image`` pixels, ``group`` equal for samples of equal plaintext.
    numbers: name -> (n, k) float64 side channels, for example seconds.
    shared: name -> bytes that the adversary holds once for all samples, for example evaluation keys.
    public: what everybody knows, as text.
    plain: view -> what would have crossed without the protection, where the maker of the target knows it.
    """

    name: str
    views: Mapping[str, Messages]
    truth: Mapping[str, Truth]
    numbers: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    shared: Mapping[str, bytes] = field(default_factory=dict)
    public: Mapping[str, str] = field(default_factory=dict)
    plain: Mapping[str, Messages] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise KakuriError.collect(problems)

    def _problems(self) -> list[Problem]:
        where = f"target {self.name!r}"
        lengths = {
            **{f"view {name}": len(samples) for name, samples in self.views.items()},
            **{f"plain {name}": len(samples) for name, samples in self.plain.items()},
            **{f"numbers {name}": len(values) for name, values in self.numbers.items()},
            **{f"truth {name}": len(values) for name, values in self.truth.items()},
        }
        problems = []
        if not self.views and not self.numbers:
            problems.append(Problem("KK-A01", "the target recorded nothing", where, hint="give views or numbers"))
        if len(set(lengths.values())) > 1:
            problems.append(Problem("KK-A01", "every view and truth needs one entry per sample", where, str(lengths)))
        for name, values in self.numbers.items():
            if values.ndim != 2 or not np.isfinite(values).all():
                problems.append(Problem("KK-A01", "side channels are finite (n, k) arrays", where, name))
        return problems

    @property
    def samples(self) -> int:
        counts = [len(samples) for samples in self.views.values()] + [len(values) for values in self.numbers.values()]
        return counts[0]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of views and side channels."""
        return (*self.views, *self.numbers)

    def only(self, channel: str) -> Target:
        """The same target with one view or side channel. Raises KK-A01 for a name that it lacks."""
        if channel not in self.channels:
            raise KakuriError(
                "KK-A01", "no such view", where=f"target {self.name!r}", got=channel, limit=", ".join(self.channels)
            )
        return replace(
            self,
            views={name: value for name, value in self.views.items() if name == channel},
            numbers={name: value for name, value in self.numbers.items() if name == channel},
            plain={name: value for name, value in self.plain.items() if name == channel},
        )

    def unprotected(self) -> Target | None:
        """The target as its ``plain`` views show it; None when it has none."""
        return replace(self, views=self.plain, numbers={}, plain={}) if self.plain else None

    def distinct(self) -> NDArray[np.int64]:
        """One sample index per group (all indices when the target names no groups)."""
        if "group" not in self.truth:
            return np.arange(self.samples)
        return np.sort(np.unique(self.truth["group"], return_index=True)[1]).astype(np.int64)


@dataclass(frozen=True)
class Question:
    """All that an attack may look at.

    views, numbers, shared, public: the whole recording.
    known: (k, w) sample indices whose ``known_answers`` the adversary has.
    asked: (m, w) sample indices whose answers it must guess; w is 1, or 2 for questions about pairs.
    """

    views: Mapping[str, Messages]
    numbers: Mapping[str, NDArray[np.float64]]
    shared: Mapping[str, bytes]
    public: Mapping[str, str]
    known: NDArray[np.int64]
    known_answers: NDArray[np.float64]
    asked: NDArray[np.int64]


def pose(
    target: Target,
    cases: NDArray[np.int64],
    answers: NDArray[np.float64],
    random: np.random.Generator,
) -> tuple[Question, NDArray[np.float64]]:
    """Splits cases (c, w) and their answers (c, ...) at random, class by class where answers are classes.

    Returns the question and, apart from it, the answers asked for.
    """
    order = random.permutation(len(cases))
    if answers.ndim == 1:
        order = order[np.argsort(answers[order], kind="stable")]
    is_known = np.zeros(len(cases), dtype=bool)
    is_known[order[:: round(1 / KNOWN_SHARE)]] = True
    known, asked = np.flatnonzero(is_known), np.flatnonzero(~is_known)
    question = Question(
        views=target.views,
        numbers=target.numbers,
        shared=target.shared,
        public=target.public,
        known=cases[known],
        known_answers=answers[known].copy(),
        asked=cases[asked],
    )
    return question, answers[asked].copy()
