"""``kakuri worker serve HOST:PORT``: multiplies blinded matrices for a master on another machine.

Guarantees: the process that serves is ``kakuri.offload.worker`` alone: it takes this one's place, and loads no code
that knows a key of the training.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from kakuri.cli.output import JsonOption
from kakuri.errors import KakuriError

ACTIONS = ("identity", "place", "serve")


def command(
    action: Annotated[str, typer.Argument(metavar="serve", show_default=False)],
    address: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.", show_default=False)
    ],
    *,
    identity: Annotated[
        Path, typer.Option("--identity", help="This worker's own, from `kakuri worker identity`.", show_default=False)
    ],
    master: Annotated[
        Path, typer.Option("--master", help="Certificate of the only master to be served.", show_default=False)
    ],
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 ...")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=1, max=1024, help="Of each product on the CPU.")] = 1,
    json: JsonOption = False,
) -> None:
    """Serve one master at a time until the process is ended."""
    if action not in ACTIONS:
        raise KakuriError("KK-C01", "no such action", where="worker", got=action, limit=", ".join(ACTIONS))
    for path in (identity, master):
        if not path.is_file():
            raise KakuriError(
                "KK-F12", "no such file", where=path, hint="`kakuri worker identity NAME.pem` writes both"
            )
    named = ["--identity", str(identity), "--master", str(master), "--device", device, "--threads", str(threads)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "kakuri.offload.worker", "--listen", address, *named])
