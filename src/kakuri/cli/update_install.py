"""``kakuri update install new.kkr FOLDER maker.pub``: new weights beside a deployed program.

Guarantees: nothing is written unless ``maker`` signed it for exactly this code and its version is not older.
Does not guarantee: that the key opens it; the program says so (result 6) when it does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kakuri.cli.output import JsonOption, facts, output_of
from kakuri.codegen.update import install_update
from kakuri.trust.signing import SignerPublic


def command(
    context: typer.Context,
    action: Annotated[str, typer.Argument(metavar="install", show_default=False)],
    package: Annotated[Path, typer.Argument(metavar="UPDATE", help="The update (.kkr).")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The project whose weights are replaced.")],
    maker: Annotated[Path, typer.Argument(metavar="MAKER", help="The maker's public key (.pub).")],
    *,
    minimum_version: Annotated[int, typer.Option("--minimum-version", min=1, help="Refuse older ones.")] = 1,
    json: JsonOption = False,
) -> None:
    """Check who signed new weights, for which code and which version, and put them in place."""
    output = output_of(context)
    version = install_update(package, SignerPublic.load(maker), folder, minimum_version=minimum_version)
    data = {"folder": str(folder), "version": version}
    output.result(data, facts({str(folder): f"weights of version {version}"}))
