"""``kakuri forget``: destroys what a device learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kakuri.cli.output import JsonOption, output_of
from kakuri.personal.device import Device


def command(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="The device's folder.", show_default="KAKURI_HOME, ~/.local/share/kakuri/personal"),
    ] = None,
    address: Annotated[
        bool, typer.Option("--address", help="Only show the device's address, for encrypted packages.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Destroy every personal key and artefact of this device; the general packages stay."""
    output, device = output_of(context), Device(home)
    if address:
        text = device.address().hex()
        output.result({"address": text}, text)
        return
    gone = device.forget()
    output.result({"forgotten": gone}, "\n".join(gone) if gone else "there was nothing to forget")
