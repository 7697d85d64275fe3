"""``kakuri plan codegen MODEL --protect 4``: what the C will take and who will see what."""

from __future__ import annotations

from typing import Annotated

import typer

from kakuri import codegen
from kakuri.cli.output import JsonOption, output_of
from kakuri.cli.rooms import ModelArgument, load_model
from kakuri.codegen.form import PERMUTED
from kakuri.codegen.key import WeightsKey

TargetOption = Annotated[str, typer.Option("--target", help="x86-64, arm64, plain ...")]
EntryOption = Annotated[str, typer.Option("--entry", help="The C function's name.")]
WeightsOption = Annotated[str, typer.Option("--weights", help="embedded or external.")]
CommentsOption = Annotated[bool, typer.Option("--comments", help="Name the layer of each step in the C.")]
ProtectOption = Annotated[
    int, typer.Option("--protect", help="0 plain, 1 stripped, 2 permuted, 3 sealed, 4 opened panel by panel.")
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", help="Above 1: a second function cuts steps into shares for a pool of yours.")
]


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="codegen", show_default=False)],
    source: ModelArgument,
    *,
    target: TargetOption = "x86-64",
    entry: EntryOption = "infer",
    weights: WeightsOption = "embedded",
    protect: ProtectOption = 0,
    threads: ThreadsOption = 1,
    json: JsonOption = False,
) -> None:
    """Say what the C will take and who will see what; touches no key."""
    output = output_of(context)
    key = WeightsKey.generate().secret if protect >= PERMUTED else None  # sizes do not depend on it
    made = codegen.plan(
        load_model(source), target=target, entry=entry, weights=weights, protect=protect, key=key, threads=threads
    )
    output.result(made.to_dict(), str(made))
