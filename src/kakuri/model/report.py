"""What ``check`` found, as data and as text.

Guarantees: every problem names its node and its repair; ``to_dict`` holds only strings, booleans, lists and dicts.
Does not guarantee: that a model without problems fits in memory or time; ``plan`` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How a problem can end."""

    #: The protection cannot compute this, by its nature.
    NEVER = "never"
    #: Possible in principle, not built.
    NOT_YET = "not yet"
    #: A pass of ours repairs it; the hint names the pass or the option.
    REPLACEABLE = "replaceable"


@dataclass(frozen=True)
class ModelProblem:
    """One problem: code ``KK-E..``, its severity, the node's name and operator, what is wrong, what to do."""

    code: str
    severity: Severity
    node: str
    op: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.code} [{self.severity}] {self.node} ({self.op}): {self.what}" + (
            f". hint: {self.hint}" if self.hint else ""
        )

    def to_dict(self) -> dict[str, str]:
        return {
            "code": self.code,
            "severity": str(self.severity),
            "node": self.node,
            "op": self.op,
            "what": self.what,
            "hint": self.hint,
        }


@dataclass(frozen=True)
class Report:
    """Every problem of one model under one protection, in graph order."""

    protection: str
    problems: tuple[ModelProblem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the model runs once every REPLACEABLE problem is repaired: nothing is NEVER or NOT_YET."""
        return all(problem.severity is Severity.REPLACEABLE for problem in self.problems)

    def to_dict(self) -> dict[str, object]:
        return {
            "protection": self.protection,
            "ok": self.ok,
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def __str__(self) -> str:
        if not self.problems:
            return f"{self.protection}: no problems"
        verdict = "can run after the repairs below" if self.ok else "cannot run"
        return "\n".join([f"{self.protection}: {verdict}", *(f"  {problem}" for problem in self.problems)])
