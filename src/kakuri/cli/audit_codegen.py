"""``kakuri audit codegen MODEL``: what thieves get out of generated code, level by level.

Guarantees: the levels are built, compiled and attacked in a temporary folder; nothing of them stays.
"""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from kakuri.attacks.extraction import ATTACKS
from kakuri.audit.extraction import ExtractionReport, extraction
from kakuri.cli import exit_codes
from kakuri.cli.output import JsonOption, output_of, table
from kakuri.cli.plan_codegen import TargetOption
from kakuri.cli.rooms import ModelArgument, load_model
from kakuri.codegen.form import LEVELS
from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.trust import SeededRandomness
from kakuri.units import percent_text


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="codegen", show_default=False)],
    source: ModelArgument,
    *,
    levels: Annotated[str, typer.Option("--levels", help="Protection levels, separated by commas.")] = "0,1,2,3,4",
    target: TargetOption = "x86-64",
    to: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also save the report (.json).", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the attacks' randomness.")] = 0,
    json: JsonOption = False,
) -> int:
    """Attack every level; exit code 8 when a sealed level does not keep its promise."""
    output = output_of(context)
    chosen = _levels(levels)
    if to is not None and to.suffix.lower() != ".json":
        raise KakuriError("KK-A07", "this report is saved as .json", where=to)
    net, path = load_model(source), Path(source)
    said, steps = 0, (len(ATTACKS) + 1) * (len(chosen) + 2)

    def told(line: str) -> None:
        nonlocal said
        said += 1
        step(line, min(0.95, said / steps))

    with output.progress("attacking") as step:
        report = extraction(
            net,
            model_file=path if path.exists() else None,
            levels=chosen,
            target=target,
            randomness=SeededRandomness(seed),
            report=told,
        )
    if to is not None:
        with atomic_write(to) as file:
            file.write(json_module.dumps(report.to_dict(), indent=2).encode())
    left_out = [f"{name} left out: {reason}" for name, reason in report.left_out.items()]
    output.result(report.to_dict(), _table(report), *left_out, _verdict(report))
    return exit_codes.OK if report.ok else exit_codes.AUDIT


def _levels(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = [-1]
    if not set(found) <= set(LEVELS):
        raise KakuriError("KK-G03", "no such protection level", got=text, limit=", ".join(map(str, LEVELS)))
    return found


def _table(report: ExtractionReport) -> Table:
    rows = table("attack", *(row.artefact for row in report.rows))
    for name, attack in ATTACKS.items():
        found = [{item.attack: item for item in row.findings}.get(name) for row in report.rows]
        kind = "weights" if attack.weights else "sizes"
        rows.add_row(f"{name} ({kind})", *("-" if item is None else percent_text(item.recall) for item in found))
    rows.add_row("rebuilt network agrees", *(percent_text(row.agreement) for row in report.rows))
    rows.add_row("attacker minutes", *(f"{row.minutes:.1f}" for row in report.rows))
    return rows


def _verdict(report: ExtractionReport) -> str:
    failed = [row.artefact for row in report.rows if not row.kept]
    promise = "Sealed levels: at most 1 % by static attacks; level 4: at most 5 % plain at any sampled moment"
    return f"{promise}: {'broken by ' + ', '.join(failed) if failed else 'kept'}."
