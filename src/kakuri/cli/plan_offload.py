"""``kakuri plan offload net.py:Net --tier T2 --base private``: what workers compute, what stays, who sees what."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer

from kakuri import offload
from kakuri.cli.modules import ModuleArgument, load_module
from kakuri.cli.output import JsonOption, output_of

TierOption = Annotated[str, typer.Option("--tier", help="T1 (the document's, weak), T2 (mixing) or T3 (shares).")]


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="offload", show_default=False)],
    source: ModuleArgument,
    *,
    tier: TierOption = "T1",
    workers: Annotated[str, typer.Option("--workers", help="local, local:K, or tls://HOST:PORT,...")] = "local",
    base: Annotated[
        str | None,
        typer.Option(
            "--base", help="Where the weights come from, private or public; T2 must know.", show_default=False
        ),
    ] = None,
    accept_public_base: Annotated[
        bool, typer.Option("--accept-public-base", help="T2 for a public base, whose updates it does not hide.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="A layer that stays in the master; may be repeated.", show_default=False),
    ] = None,
    update: Annotated[str, typer.Option("--update", help="auto, worker or master.")] = "auto",
    rotate_every: Annotated[int, typer.Option("--rotate-every", help="Epochs between new keys; 0 for never.")] = 1,
    json: JsonOption = False,
) -> None:
    """Say what workers compute, what stays in the master and who sees what; starts nothing, touches no key."""
    output = output_of(context)
    made = offload.plan(
        load_module(source),
        tier=tier,
        workers=workers,
        base=cast(Literal["private", "public"] | None, base),  # plan refuses any other
        accept_public_base=accept_public_base,
        keep=keep or (),
        update=cast(Literal["auto", "worker", "master"], update),
        rotate_every=rotate_every,
        master="process",  # the plan's text says so
    )
    output.result(made.to_dict(), str(made))
