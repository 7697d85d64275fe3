"""``kakuri worker place COUNT``: starts offload workers on the machines of a Ray cluster.

Guarantees: this process holds no key of the training; the master needs only what it prints and the certificates.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from kakuri.cli.output import JsonOption, output_of
from kakuri.offload.cluster import place_on_ray


def command(
    context: typer.Context,
    action: Annotated[str, typer.Argument(metavar="place", show_default=False)],
    count: Annotated[int, typer.Argument(metavar="COUNT", min=1, max=999, show_default=False)],
    *,
    master: Annotated[Path, typer.Option("--master", help="Certificate of the master.", show_default=False)],
    pinned: Annotated[
        Path, typer.Option("--pinned", help="File for the certificates of the workers.", show_default=False)
    ],
    cpus: Annotated[float, typer.Option("--cpus", min=0.0, help="Of each worker, as Ray counts.")] = 1.0,
    gpus: Annotated[float, typer.Option("--gpus", min=0.0, help="Of each worker, as Ray counts.")] = 0.0,
    threads: Annotated[int, typer.Option("--threads", min=1, max=1024, help="Of each product on the CPU.")] = 1,
    json: JsonOption = False,
) -> None:
    """Print where the workers are, and keep them until this command is ended."""
    output = output_of(context)
    with place_on_ray(count, master, pinned, cpus=cpus, gpus=gpus, threads=threads) as workers:
        output.result({"workers": workers, "pinned": str(pinned)}, workers)
        sys.stdout.flush()
        threading.Event().wait()
