"""The report as one HTML page.

Purpose: a page that can be mailed, archived and printed.
Guarantees: no script, no external resource (its own content policy forbids them), every text escaped, light and dark.
Does not guarantee: the look in browsers without CSS grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kakuri.attacks import AttackResult, Verdict
from kakuri.attacks.attack import LEAK_LEVEL
from kakuri.audit.bar import interval_bar
from kakuri.audit.html import Child, Markup, join, tag
from kakuri.audit.report import AuditReport, Recording
from kakuri.audit.style import STYLE
from kakuri.trust import ThreatStatement, who_sees_what
from kakuri.units import bytes_text, percent_text
from kakuri.version import __version__

_STATE = {Verdict.AT_CHANCE: "good", Verdict.LEAK: "bad", Verdict.INCONCLUSIVE: "unsure"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_METHOD = (
    "Half of the recorded samples were given to the attacker with their answers, the other half was asked for; the "
    "attacker never held those answers. Chance is the same guesses scored against permuted answers, unprotected is the "
    "same attack on the same samples in the clear. A leak is reported when chance would give such a value less often "
    f"than once in {round(1 / LEAK_LEVEL):,} tries. At chance means that these attacks found nothing; it does not "
    "prove that there is nothing to find."
)


def render(report: AuditReport) -> str:
    """The whole page."""
    state = "good" if report.ok else "bad" if report.leaks else "unsure"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", f"Kakuri audit: {report.summary}"),
        tag("style", Markup(STYLE)),
    )
    statements = dict.fromkeys(recording.threat for recording in report.recordings if recording.threat)
    body = tag(
        "body",
        tag(
            "header",
            tag("p", "Kakuri audit", class_="eyebrow"),
            tag("h1", report.summary[:1].upper() + report.summary[1:]),
            tag("p", _lead(report)),
            class_=state,
        ),
        tag(
            "main",
            _results(report),
            *(_statement(statement) for statement in statements),
            _recordings(report.recordings),
            _method(report),
        ),
        tag(
            "footer",
            f"kakuri {__version__} · seed {report.randomness.seed} · budget per attack and view: "
            f"{report.budget.seconds:g} s, {report.budget.samples} samples",
        ),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en').text}\n"


def _lead(report: AuditReport) -> str:
    samples = sum(recording.samples for recording in report.recordings)
    total_bytes = sum(sum(recording.view_bytes.values()) for recording in report.recordings)
    names = ", ".join(recording.name for recording in report.recordings)
    return (
        f"Attacked: {names}. {samples} recorded samples, {bytes_text(total_bytes)}, exactly as the adversary held them."
    )


def _results(report: AuditReport) -> Markup:
    columns = ("attack", "seen", "recovers", "measured", "chance", "unprotected", "0 to 100 %", "verdict")
    numbers = {"measured", "chance", "unprotected"}
    head = [tag("th", name, class_="number" if name in numbers else "") for name in columns]
    notes = [tag("li", tag("b", item.attack), f" was refused: {item.reason}.") for item in report.refused]
    notes += [
        tag("li", f"{_spaced(item.attack)} on {item.target}, {item.view}: not run, {item.reason}.")
        for item in report.skipped
    ]
    return tag(
        "section",
        tag("h2", "What the attacks got"),
        _legend(
            ("ours", "measured, with its 95 % interval"),
            ("chance", "chance: permuted answers, central 95 %"),
            ("plain", "the same attack without protection"),
        ),
        _table(head, _grouped(report.results), "results"),
        tag("ul", *notes, class_="notes"),
    )


def _grouped(results: Iterable[AttackResult]) -> Iterator[Markup]:
    """Rows, with a heading before each target's."""
    target = ""
    for result in results:
        if result.target != target:
            target = result.target
            yield tag("tr", tag("th", target, colspan=8, scope="rowgroup"), class_="group")
        yield _row(result)


def _row(result: AttackResult) -> Markup:
    estimate = result.estimate
    counts = f"{result.metric}, {result.asked} asked, {result.known} known"
    interval = f"{percent_text(estimate.low)} to {percent_text(estimate.high)}"
    return tag(
        "tr",
        tag("td", tag("b", _spaced(result.attack))),
        tag("td", result.view),
        tag("td", result.recovers, tag("br"), tag("small", counts)),
        tag("td", percent_text(estimate.value), tag("br"), tag("small", interval), class_="number"),
        tag("td", percent_text(result.chance.value), class_="number"),
        tag("td", percent_text(result.unprotected.value), class_="number"),
        tag("td", interval_bar(estimate, result.chance, result.unprotected), class_=f"bar {_STATE[result.verdict]}"),
        tag("td", tag("span", result.verdict.value, class_=f"verdict {_STATE[result.verdict]}")),
    )


def _statement(statement: ThreatStatement) -> Markup:
    table = who_sees_what([statement])
    rows = []
    for asset, cells in zip(table.assets, table.cells, strict=True):
        shown = [tag("td", c.form, class_="sees" if c.readable else "hidden") if c else tag("td") for c in cells]
        rows.append(tag("tr", tag("th", asset), *shown))
    trusted = (f"{party}: {what}" for party, what in statement.trusted_for)
    return tag(
        "section",
        tag("h2", f"What was promised: {statement.room}"),
        tag("p", f"Against {statement.adversary}."),
        tag(
            "div",
            _card("The adversary sees", "sees", statement.sees),
            _card("It does not see", "hidden", statement.does_not_see),
            _card("Trusted", "", trusted),
            _card("Not guaranteed", "", statement.not_guaranteed),
            class_="cards",
        ),
        tag("h3", "Who sees what"),
        _table([tag("th"), *(tag("th", party) for party in table.parties)], rows, "matrix"),
        _legend(("sees", "can read it"), ("hidden", "cannot read it")),
    )


def _recordings(recordings: Iterable[Recording]) -> Markup:
    rows = []
    for item in recordings:
        views = [(name, str(item.samples), size_bytes) for name, size_bytes in item.view_bytes.items()]
        views += [(name, "once", size_bytes) for name, size_bytes in item.shared_bytes.items()]
        for name, samples, size_bytes in views:
            numbers = (tag("td", samples, class_="number"), tag("td", bytes_text(size_bytes), class_="number"))
            rows.append(tag("tr", tag("td", item.name), tag("td", name), *numbers))
    numeric = (tag("th", "samples", class_="number"), tag("th", "size", class_="number"))
    head = [tag("th", "target"), tag("th", "view"), *numeric]
    return tag("section", tag("h2", "What was recorded"), _table(head, rows, "recordings"))


def _method(report: AuditReport) -> Markup:
    tests = (
        tag(
            "li",
            f"{_spaced(test.attack)}: {percent_text(test.value)}, at least {percent_text(test.must_reach)} wanted: "
            f"{'passed' if test.passed else 'failed'}",
        )
        for test in report.self_tests
    )
    return tag(
        "section",
        tag("h2", "How it was measured"),
        tag("p", _METHOD),
        tag("h3", "Self-tests on planted plaintext"),
        tag("ul", *tests),
    )


def _card(title: str, kind: str, lines: Iterable[str]) -> Markup:
    return tag("div", tag("h3", title), tag("ul", *(tag("li", line) for line in lines)), class_=f"card {kind}".strip())


def _legend(*keys: tuple[str, str]) -> Markup:
    items: list[Child] = []
    for kind, text in keys:
        items += [tag("span", class_=f"key {kind}"), text]
    return tag("p", *items, class_="legend")


def _table(head: Iterable[Markup], rows: Iterable[Markup], kind: str) -> Markup:
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", join(rows)), class_=kind)
    return tag("div", table, class_="scroll")


def _spaced(name: str) -> str:
    return name.replace("_", " ")
