"""``kakuri update MODEL FOLDER -o new.kkr --key weights.kkey --version 2``: new weights for a deployed program.
``kakuri update install new.kkr FOLDER maker.pub``: where the program runs.

Guarantees: the update is written only when the project's code is what this network compiles to; existing files are kept
without ``--force``; a signing key is made when it does not exist, and never printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kakuri.cli.maker import maker_of
from kakuri.cli.output import JsonOption, facts, output_of
from kakuri.cli.rooms import ModelArgument, load_model
from kakuri.codegen.key import WeightsKey
from kakuri.codegen.update import plan_like, write_update
from kakuri.units import bytes_text


def command(
    context: typer.Context,
    source: ModelArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The project, as it was built.")],
    *,
    package: Annotated[Path, typer.Option("-o", "--output", help="The update to write (.kkr).")],
    key: Annotated[Path, typer.Option("--key", help="The project's key file (.kkey).")],
    version: Annotated[int, typer.Option("--version", min=2, help="Above the installed one, which began with 1.")],
    signer: Annotated[
        Path | None,
        typer.Option("--signer", help="The maker's key file; made when missing.", show_default="maker.kkey beside it"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing update.")] = False,
    json: JsonOption = False,
) -> None:
    """Sign and seal new weights for generated code that stays as it is."""
    output = output_of(context)
    with output.progress("generating") as step:
        made = plan_like(load_model(source), folder, WeightsKey.load(key).secret)
        maker, public = maker_of(package.with_name("maker.kkey") if signer is None else signer)
        step("sealing", 0.7)
        write_update(package, made, maker, version=version, overwrite=force)
    rows = {
        str(package): f"{bytes_text(package.stat().st_size)}, version {version}; anybody may carry it",
        str(public): "for the devices, over a channel that they trust",
    }
    output.result({"update": str(package), "maker": str(public), "version": version}, facts(rows))
