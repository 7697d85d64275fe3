"""Running attacks and showing what they found: the same for every room.

Guarantees: a report's destination is checked before anything runs; the exit code is 8 unless every attack is at chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from kakuri import audit
from kakuri.attacks import Attack, AttackResult, Verdict
from kakuri.cli import exit_codes
from kakuri.cli.output import Output, printable, table
from kakuri.errors import KakuriError
from kakuri.trust import SeededRandomness
from kakuri.units import percent_text

_STYLES = {Verdict.AT_CHANCE: "green", Verdict.LEAK: "bold red", Verdict.INCONCLUSIVE: "yellow"}


def check_destination(to: Path | None) -> None:
    """Raises KK-A07 for a file that is neither .html nor .json."""
    if to is not None and to.suffix.lower() not in {".html", ".htm", ".json"}:
        raise KakuriError("KK-A07", "a report is saved as .html or .json", where=to)


def attacked(
    subjects: Sequence[audit.Subject],
    chosen: Sequence[str] | Sequence[Attack],
    seed: int,
    step: Callable[[str, float], None],
) -> audit.AuditReport:
    """Every chosen attack on every target that it can take."""
    done = 0

    def progress(line: str) -> None:
        nonlocal done
        done += 1
        step(f"attacking: {line}", min(0.95, done / (4 * len(chosen))))

    return audit.run(subjects, chosen, randomness=SeededRandomness(seed), progress=progress)


def reported(output: Output, report: audit.AuditReport, to: Path | None) -> int:
    """Save where asked to, show, and say the exit code."""
    if to is not None:
        report.save(to)
    output.result(report.to_dict(), *shown(report))
    if to is not None:
        output.note(f"report saved to {to}")
    return exit_codes.OK if report.ok else exit_codes.AUDIT


def shown(report: audit.AuditReport) -> list[str | Table]:
    """The report for people."""
    rows = table("attack", "seen", "measured", "95 %", "chance", "unprotected", "verdict")
    for result in report.results:
        rows.add_row(*_row(result))
    refused = [f"{item.attack} refused: {item.reason}" for item in report.refused]
    summary = report.summary[:1].upper() + report.summary[1:]
    return [
        rows,
        "",
        *refused,
        f"{summary}. This says what these attacks found, not that there is nothing to find.",
    ]


def _row(result: AttackResult) -> tuple[str, ...]:
    style = _STYLES[result.verdict]
    low, high = percent_text(result.estimate.low), percent_text(result.estimate.high)
    return (
        result.attack,
        escape(printable(result.view)),
        percent_text(result.estimate.value),
        f"{low} to {high}",
        percent_text(result.chance.value),
        percent_text(result.unprotected.value),
        f"[{style}]{result.verdict.value}[/]",
    )
