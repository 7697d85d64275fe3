"""``kakuri run FILE INPUT...``: the deployed thing, on either side.

Purpose: what happens is decided by what FILE and INPUT are, never by options: a key file and pictures encrypt, a
package and queries compute, a key file and answers decrypt, a folder with generated C is compiled and run. A sealed
package and a name ending in ``.sock`` serve sealed inputs there, the ``.session`` file beside it and pictures ask it.
Guarantees: the side with the package takes no secret key and no input in the clear (KK-K30, KK-C10; exit codes 5, 2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kakuri.cli.kinds import Kind, kind_of, room_of, wrong_kind
from kakuri.cli.output import JsonOption, output_of
from kakuri.cli.rooms import ThreadsOption
from kakuri.cli.run_targets import Target


def command(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A package (server), a key file (client), or a folder with C.")
    ],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Pictures, arrays, encrypted queries or answers.")
    ],
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Where the result goes: a file, or a folder for several.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing results.")] = False,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Encrypt, compute or decrypt: FILE and INPUT say which."""
    output = output_of(context)
    if file.is_dir():
        from kakuri.cli.run_project import run_project  # noqa: PLC0415  each room loads its own modules only

        run_project(output, file, inputs, Target(to, force))
        return
    kind, given = kind_of(file), {path: _kind_of_input(path) for path in inputs}
    if kind is Kind.PACKAGE and room_of(file) == "personal":
        from kakuri.cli.run_personal import run_personal  # noqa: PLC0415  each room loads its own modules only

        run_personal(output, file, inputs, Target(to, force))
    elif kind is Kind.PACKAGE and room_of(file) == "enclave":
        from kakuri.cli.run_enclave import run_enclave  # noqa: PLC0415  each room loads its own modules only

        run_enclave(output, file, given, Target(to, force))
    elif kind is Kind.SESSION:
        from kakuri.cli.run_sensor import run_sensor  # noqa: PLC0415  each side loads its own modules only

        run_sensor(output, file, inputs, Target(to, force))
    elif kind is Kind.PACKAGE:
        from kakuri.cli.run_server import run_server  # noqa: PLC0415  each side loads its own modules only

        run_server(output, file, given, Target(to, force), threads)
    elif kind is Kind.SECRET:
        from kakuri.cli.run_client import run_client  # noqa: PLC0415  each side loads its own modules only

        run_client(output, file, given, Target(to, force))
    else:
        hint = "kakuri run net.kkr QUERY on the server, kakuri run client.kkey INPUT on the client"
        raise wrong_kind(file, kind, "a package or a key file", hint)


def _kind_of_input(path: Path) -> Kind:
    """By content; what is no file has none."""
    return Kind.OTHER if path.is_dir() or path.suffix == ".sock" else kind_of(path)
