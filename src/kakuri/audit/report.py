"""What an audit found.

Purpose: the report as data, with its JSON and HTML forms.
Guarantees: everything shown is in ``to_dict``; saving is atomic; the page loads nothing from anywhere.
Does not guarantee: that a report was not edited after it was saved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kakuri.attacks import AttackResult, Budget, SelfTest, Target, Verdict
from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.trust import SeededRandomness, ThreatStatement
from kakuri.version import __version__


@dataclass(frozen=True)
class Subject:
    """What is audited: a recording, and the statement that the recording should bear out."""

    target: Target
    threat: ThreatStatement | None = None


@dataclass(frozen=True)
class Recording:
    """How much was recorded. view_bytes: name -> bytes of all samples together."""

    name: str
    samples: int
    view_bytes: Mapping[str, int]
    shared_bytes: Mapping[str, int]
    public: Mapping[str, str]
    threat: ThreatStatement | None

    @classmethod
    def of(cls, subject: Subject) -> Recording:
        target = subject.target
        return cls(
            name=target.name,
            samples=target.samples,
            view_bytes={
                **{name: sum(len(part) for sample in view for part in sample) for name, view in target.views.items()},
                **{name: values.nbytes for name, values in target.numbers.items()},
            },
            shared_bytes={name: len(data) for name, data in target.shared.items()},
            public=dict(target.public),
            threat=subject.threat,
        )

    def to_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "samples": self.samples,
            "view_bytes": dict(self.view_bytes),
            "shared_bytes": dict(self.shared_bytes),
            "public": dict(self.public),
            "threat": self.threat.to_dict() if self.threat else None,
        }


@dataclass(frozen=True)
class Skipped:
    """An attack that does not apply to a view, and why."""

    attack: str
    target: str
    view: str
    reason: str


@dataclass(frozen=True)
class Refusal:
    """An attack that failed its self-test: it could not break what it must, so its silence would mean nothing."""

    attack: str
    reason: str


@dataclass(frozen=True)
class AuditReport:
    """Results in the order in which they were run."""

    recordings: tuple[Recording, ...]
    results: tuple[AttackResult, ...]
    self_tests: tuple[SelfTest, ...]
    skipped: tuple[Skipped, ...] = ()
    refused: tuple[Refusal, ...] = ()
    budget: Budget = field(default_factory=Budget)
    randomness: SeededRandomness = field(default_factory=lambda: SeededRandomness(0))

    @property
    def leaks(self) -> tuple[AttackResult, ...]:
        return tuple(result for result in self.results if result.verdict is Verdict.LEAK)

    @property
    def inconclusive(self) -> tuple[AttackResult, ...]:
        return tuple(result for result in self.results if result.verdict is Verdict.INCONCLUSIVE)

    @property
    def ok(self) -> bool:
        """Every attack that applies was run, could have succeeded, and found nothing."""
        return bool(self.results) and not (self.leaks or self.inconclusive or self.refused)

    @property
    def summary(self) -> str:
        """One sentence."""
        count = len(self.results)
        if self.leaks:
            return f"{len(self.leaks)} of {count} attacks found a leak"
        if self.refused:
            return f"{len(self.refused)} attacks were refused because they failed their self-test"
        if not count:
            return "no attack applies to what was recorded"
        if self.inconclusive:
            return f"{len(self.inconclusive)} of {count} attacks are inconclusive: too few samples were recorded"
        return f"all {count} attacks are at chance"

    def to_dict(self) -> dict[str, object]:
        return {
            "kakuri": __version__,
            "ok": self.ok,
            "summary": self.summary,
            "recordings": [recording.to_dict() for recording in self.recordings],
            "results": [result.to_dict() for result in self.results],
            "self_tests": [test.to_dict() for test in self.self_tests],
            "skipped": [vars(item) for item in self.skipped],
            "refused": [vars(item) for item in self.refused],
            "budget": self.budget.to_dict(),
            "randomness": self.randomness.to_dict(),
        }

    def save(self, path: Path | str) -> None:
        """Writes ``.json`` or ``.html`` by the name's ending. Raises KK-A07 for another ending, KK-F10 when it
        cannot."""
        ending = Path(path).suffix.lower()
        if ending == ".json":
            text = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        elif ending in {".html", ".htm"}:
            from kakuri.audit.page import render  # noqa: PLC0415 (the page is only drawn when asked for)

            text = render(self)
        else:
            raise KakuriError("KK-A07", "a report is saved as .json or .html", where=path, got=ending or "no ending")
        with atomic_write(path) as file:
            file.write(text.encode())

    def __str__(self) -> str:
        lines = [self.summary, *(f"- {result}" for result in self.results)]
        lines += [f"- {item.attack} refused: {item.reason}" for item in self.refused]
        lines += [f"- {item.attack} on {item.target}/{item.view} not run: {item.reason}" for item in self.skipped]
        return "\n".join(lines)
