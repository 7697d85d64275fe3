"""``kakuri check offload net.py:Net``: which layers stay in the master, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from kakuri import model
from kakuri.cli.check import show
from kakuri.cli.modules import ModuleArgument, load_module
from kakuri.cli.output import JsonOption, output_of


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="offload", show_default=False)],
    source: ModuleArgument,
    json: JsonOption = False,
) -> int:
    """List what stays in the master; exit code 3 when there is anything."""
    return show(output_of(context), source, model.check(load_module(source), room))
