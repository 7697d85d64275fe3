"""``kakuri plan enclave MODEL --layers 5:10``: what goes inside, what memory it takes, who sees what."""

from __future__ import annotations

from typing import Annotated

import typer

from kakuri import enclave
from kakuri.cli.output import JsonOption, output_of
from kakuri.cli.rooms import ModelArgument, load_model

LayersOption = Annotated[
    str, typer.Option("--layers", help="The layers inside, both ends included; to the last one without an end.")
]
SecureMemoryOption = Annotated[
    str, typer.Option("--secure-memory", help="What weights, activations and boundary inside may take.")
]


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="enclave", show_default=False)],
    source: ModelArgument,
    *,
    layers: LayersOption = "0:",
    secure_memory: SecureMemoryOption = "10 MiB",
    json: JsonOption = False,
) -> None:
    """Say what a partition takes and who sees what; touches no key."""
    made = enclave.plan(load_model(source), layers=layers, secure_memory=secure_memory)
    output_of(context).result(made.to_dict(), str(made))
