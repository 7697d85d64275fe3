"""What every attack is, and how it is run.

Purpose: ``Attack`` (pose a question, guess, score), ``AttackResult`` (what came out, between unprotected and chance).
Guarantees: ``guess`` gets a ``Question`` and nothing else; the unprotected and the chance value are measured in the
same run with the same code; a result whose attack fails even without protection is called inconclusive, not safe.
Does not guarantee: that no stronger attack exists.
Errors: KK-A03 an attack does not apply to a target, KK-A04 too few samples, KK-A05 an attack fails its self-test.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.budget import Budget, Spending
from kakuri.attacks.statistics import Chance, Estimate, Metric
from kakuri.attacks.target import Question, Target, pose
from kakuri.errors import KakuriError
from kakuri.units import percent_text

Float64 = NDArray[np.float64]
Detail = str | int | float | bool

LEAK_LEVEL = 1e-4
"""A leak is reported when chance would give such a value less often than this; an audit runs several attacks."""
MIN_CASES = 20
NO_INFORMATION = "no_information"
"""Detail that an attack sets when what it looks at is the same for every sample: then it is conclusive by itself."""


class Verdict(enum.Enum):
    AT_CHANCE = "at chance"
    LEAK = "leak"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class AttackResult:
    """One attack on one target.

    estimate: the attack's value with its 95 % interval. unprotected: the same attack on the same samples in plaintext.
    chance: the same guesses against permuted answers. p_value: of the permutation test. detectable: the value from
    which on a leak would have been reported. known, asked: samples with and without known answers.
    """

    attack: str
    target: str
    view: str
    recovers: str
    metric: str
    estimate: Estimate
    unprotected: Estimate
    chance: Estimate
    p_value: float
    detectable: float
    known: int
    asked: int
    verdict: Verdict
    details: Mapping[str, Detail] = field(default_factory=dict)

    @property
    def leak_share(self) -> float:
        """How far from chance (0) to unprotected (1) the value stands, cut to that range; 0 when they do not differ."""
        span = self.unprotected.value - self.chance.value
        return float(np.clip((self.estimate.value - self.chance.value) / span, 0.0, 1.0)) if span > 0 else 0.0

    @property
    def text(self) -> str:
        low, high = percent_text(self.estimate.low), percent_text(self.estimate.high)
        value = f"{percent_text(self.estimate.value)} [{low}, {high}]"
        ends = f"chance {percent_text(self.chance.value)}, unprotected {percent_text(self.unprotected.value)}"
        if self.verdict is Verdict.INCONCLUSIVE:
            return f"inconclusive: even without protection the attack is at chance ({ends}); record more samples"
        if self.verdict is Verdict.LEAK:
            return f"leak: {self.metric} {value}, {self.leak_share:.0%} of the way from chance to unprotected ({ends})"
        if NO_INFORMATION in self.details:
            rest = str(self.details[NO_INFORMATION])
        elif self.chance.low == self.chance.high:
            rest = "every guess is the same"
        else:
            rest = f"above {percent_text(self.detectable)} would have been reported"
        return f"at chance: {self.metric} {value} ({ends}); {rest}"

    def to_dict(self) -> dict[str, object]:
        return {
            "attack": self.attack,
            "target": self.target,
            "view": self.view,
            "recovers": self.recovers,
            "metric": self.metric,
            "estimate": self.estimate.to_dict(),
            "unprotected": self.unprotected.to_dict(),
            "chance": self.chance.to_dict(),
            "p_value": self.p_value,
            "detectable": self.detectable,
            "known": self.known,
            "asked": self.asked,
            "verdict": self.verdict.value,
            "text": self.text,
            "details": dict(self.details),
        }

    def __str__(self) -> str:
        return f"{self.attack} on {self.target}/{self.view}: {self.text}"


@dataclass(frozen=True)
class SelfTest:
    """Whether an attack broke its planted target: value against the least it must reach."""

    attack: str
    passed: bool
    value: float
    must_reach: float
    p_value: float

    def to_dict(self) -> dict[str, object]:
        return {
            "attack": self.attack,
            "passed": self.passed,
            "value": self.value,
            "must_reach": self.must_reach,
            "p_value": self.p_value,
        }


@dataclass(frozen=True)
class _Trial:
    estimate: Estimate
    chance: Chance
    known: int
    asked: int
    details: Mapping[str, Detail]


class Attack(ABC):
    """A subclass states what it is, poses its question from the truth and guesses from the question.

    name: as on the command line. recovers: in words. needs: the truth it is scored against. must_reach: the value that
    the self-test demands on the planted target. reads_messages: whether it looks at nothing but recorded messages.
    """

    name: ClassVar[str]
    recovers: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    must_reach: ClassVar[float]
    metric: ClassVar[Metric]
    reads_messages: ClassVar[bool] = False

    @abstractmethod
    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        """The cases (c, w) to be split into known and asked, and their answers (c, ...)."""

    @abstractmethod
    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        """Answers for ``question.asked`` in the shape of ``known_answers``, and details worth reporting."""

    def plaintext(self, target: Target) -> Target:
        """The samples of ``target`` as they are without protection: its plain views, or itself where it has none."""
        return target.unprotected() or target

    @abstractmethod
    def planted(self, random: np.random.Generator) -> Target:
        """A target on which the attack must succeed; made here, from nothing but ``random``."""

    def why_not(self, target: Target) -> str:
        """Empty when the attack applies to ``target``, else the reason in words."""
        if self.reads_messages and not target.views:
            return "it records no messages"
        missing = [name for name in self.needs if name not in target.truth]
        return f"the target has no truth named {', '.join(missing)}" if missing else ""

    def run(self, target: Target, budget: Budget, randomness: np.random.Generator) -> AttackResult:
        """Raises KK-A03 when the attack does not apply and KK-A04 with fewer than 20 cases."""
        reason = self.why_not(target)
        if reason:
            raise KakuriError("KK-A03", "the attack does not apply", where=f"{self.name} on {target.name}", got=reason)
        ours_random, plain_random = randomness.spawn(2)
        ours = self._trial(target, budget, ours_random)
        plain = self._trial(self.plaintext(target), budget, plain_random)
        if ours.chance.p_value <= LEAK_LEVEL:
            verdict = Verdict.LEAK
        elif plain.chance.p_value <= LEAK_LEVEL or NO_INFORMATION in ours.details:
            verdict = Verdict.AT_CHANCE
        else:
            verdict = Verdict.INCONCLUSIVE
        return AttackResult(
            attack=self.name,
            target=target.name,
            view=", ".join(target.channels),
            recovers=self.recovers,
            metric=self.metric.name,
            estimate=ours.estimate,
            unprotected=plain.estimate,
            chance=ours.chance.estimate,
            p_value=ours.chance.p_value,
            detectable=ours.chance.detectable,
            known=ours.known,
            asked=ours.asked,
            verdict=verdict,
            details=ours.details,
        )

    def self_test(self, budget: Budget, randomness: np.random.Generator) -> SelfTest:
        """Runs the attack on its planted target."""
        make, attempt = randomness.spawn(2)
        trial = self._trial(self.planted(make), budget, attempt)
        value, p_value = trial.estimate.value, trial.chance.p_value
        passed = value >= self.must_reach and p_value <= LEAK_LEVEL
        return SelfTest(self.name, passed, value, self.must_reach, p_value)

    def _trial(self, target: Target, budget: Budget, random: np.random.Generator) -> _Trial:
        choose, split, learn, measure, permute = random.spawn(5)
        cases, answers = self.cases(target, choose)
        if len(cases) > budget.samples:
            keep = choose.permutation(len(cases))[: budget.samples]
            cases, answers = cases[keep], answers[keep]
        if len(cases) < MIN_CASES:
            raise KakuriError(
                "KK-A04",
                "too few samples to say anything",
                where=f"{self.name} on {target.name}",
                got=f"{len(cases)} cases",
                limit=f"at least {MIN_CASES}",
                hint="record more queries",
            )
        question, truth = pose(target, cases, answers, split)
        spending = Spending(budget)
        guesses, details = self.guess(question, spending, learn)
        if spending.stopped_early:
            details = {**details, "stopped_early": True}
        estimate = self.metric.estimate(guesses, truth, measure)
        chance = self.metric.chance(guesses, truth, permute, LEAK_LEVEL)
        return _Trial(estimate, chance, len(question.known), len(question.asked), details)
