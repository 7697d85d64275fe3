"""Running an audit.

Purpose: every chosen attack on every view of every subject, each after its self-test.
Guarantees: a failed self-test removes the attack from the results and marks the report; the seed and the budget stand
in the report, and the same recording with the same seed gives the same report (unless time runs out).
Does not guarantee: a bound on the total time; the budget is per attack and view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from kakuri.attacks import Attack, AttackResult, Budget, SelfTest, Target, select
from kakuri.audit.report import AuditReport, Recording, Refusal, Skipped, Subject
from kakuri.errors import KakuriError
from kakuri.trust import SeededRandomness

Audited: TypeAlias = "Subject | Target"
Progress: TypeAlias = Callable[[str], None]


def run(
    subjects: Audited | Sequence[Audited],
    attacks: Literal["all"] | Sequence[str] | Sequence[Attack] = "all",
    *,
    budget: Budget | None = None,
    randomness: SeededRandomness | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Attacks ``subjects`` and reports.

    attacks: ``all``, names, or ``Attack`` objects of your own. progress: called with one line before each step.
    Raises KK-A06 for an unknown name and KK-A01 when there is nothing to audit.
    """
    budget = budget or Budget()
    randomness = randomness or SeededRandomness(0)
    report_step = progress or (lambda line: None)
    listed = _subjects(subjects)
    chosen = _attacks(attacks)
    self_tests: list[SelfTest] = []
    refused: list[Refusal] = []
    results: list[AttackResult] = []
    skipped: list[Skipped] = []
    trusted: list[Attack] = []
    for attack in chosen:
        report_step(f"{attack.name}: self-test")
        tested = attack.self_test(budget, randomness.child(f"self-test {attack.name}").generator())
        self_tests.append(tested)
        if tested.passed:
            trusted.append(attack)
        else:
            refused.append(Refusal(attack.name, _reason(tested)))
    for subject in listed:
        for attack in trusted:
            for view in subject.target.channels:
                target = subject.target.only(view)
                reason = attack.why_not(target)
                if reason:
                    skipped.append(Skipped(attack.name, target.name, view, reason))
                    continue
                report_step(f"{attack.name}: {target.name}, {view}")
                stream = randomness.child(attack.name).child(target.name).child(view)
                results.append(attack.run(target, budget, stream.generator()))
    return AuditReport(
        recordings=tuple(Recording.of(subject) for subject in listed),
        results=tuple(results),
        self_tests=tuple(self_tests),
        skipped=tuple(skipped),
        refused=tuple(refused),
        budget=budget,
        randomness=randomness,
    )


def _subjects(subjects: Audited | Sequence[Audited]) -> tuple[Subject, ...]:
    several = (subjects,) if isinstance(subjects, (Subject, Target)) else tuple(subjects)
    if not several:
        raise KakuriError("KK-A01", "there is nothing to audit", hint="pass a Subject or a Target")
    return tuple(item if isinstance(item, Subject) else Subject(item) for item in several)


def _attacks(attacks: Literal["all"] | Sequence[str] | Sequence[Attack]) -> tuple[Attack, ...]:
    if isinstance(attacks, str):
        return select("all" if attacks == "all" else [attacks])
    chosen: list[Attack] = []
    for item in attacks:
        chosen.extend([item] if isinstance(item, Attack) else select([item]))
    return tuple(chosen)


def _reason(tested: SelfTest) -> str:
    return (
        f"self-test reached {tested.value:.3f} of at least {tested.must_reach:.3f} on its planted target "
        f"(p = {tested.p_value:.2g})"
    )
