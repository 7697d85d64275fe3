"""``kakuri worker identity NAME.pem``: key and certificate of one end of an offload connection."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from kakuri.cli.output import JsonOption, facts, output_of
from kakuri.offload.transport.identity import create


def command(
    context: typer.Context,
    action: Annotated[str, typer.Argument(metavar="identity", show_default=False)],
    path: Annotated[Path, typer.Argument(metavar="NAME.pem", help="Where the secret key goes.", show_default=False)],
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="What the certificate says.", show_default="this machine's name")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long the certificate is valid.")] = 825,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: JsonOption = False,
) -> None:
    """Make an identity; bring NAME.pem.crt, which is not secret, to the other side by a channel that you trust."""
    output = output_of(context)
    certificate, fingerprint = create(path, name or socket.gethostname()[:64] or "kakuri", days=days, overwrite=force)
    rows = {"identity": str(path), "certificate": str(certificate), "sha256": fingerprint}
    output.result(rows, facts(rows))
