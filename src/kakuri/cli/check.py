"""``kakuri check ROOM MODEL``: every problem at once, with its repair."""

from __future__ import annotations

import typer
from rich.markup import escape

from kakuri import model
from kakuri.cli import exit_codes
from kakuri.cli.output import JsonOption, Output, output_of, printable, table
from kakuri.cli.rooms import ModelArgument, RoomArgument, check_room, load_model

_STYLES = {"never": "red", "not yet": "yellow", "replaceable": "cyan"}


def command(context: typer.Context, room: RoomArgument, source: ModelArgument, json: JsonOption = False) -> int:
    """List what stands between a model and a protection; exit code 3 when there is anything."""
    check_room(room)
    return show(output_of(context), source, model.check(load_model(source), room))


def show(output: Output, source: str, report: model.Report) -> int:
    """Prints the report; returns the exit code."""
    rows = table("code", "severity", "node", "operator", "problem", "repair")
    for item in report.problems:
        severity = f"[{_STYLES[str(item.severity)]}]{item.severity}[/]"
        cells = (item.code, item.node, item.op, item.what, item.hint)
        code, node, op, what, hint = (escape(printable(cell)) for cell in cells)
        rows.add_row(code, severity, node, op, what, hint)
    if not report.problems:
        output.result(report.to_dict(), f"{source}: no problems; {report.protection} can run it")
        return exit_codes.OK
    verdict = "runs after these repairs" if report.ok else "cannot run"
    output.result(
        report.to_dict(), f"{source}: {len(report.problems)} problems; {report.protection} {verdict}", "", rows
    )
    return exit_codes.MODEL
