"""``kakuri plan ROOM MODEL``: what it will cost and who will see what, before any key exists."""

from __future__ import annotations

import typer

from kakuri import encrypted
from kakuri.cli.output import JsonOption, output_of
from kakuri.cli.rooms import (
    CalibrationOption,
    ModelArgument,
    PackingOption,
    PrecisionOption,
    RoomArgument,
    calibration,
    check_room,
    load_model,
)


def command(
    context: typer.Context,
    room: RoomArgument,
    source: ModelArgument,
    *,
    given: CalibrationOption = None,
    packing: PackingOption = "auto",
    precision_bits: PrecisionOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a deployment will cost and who will see what; touches no key."""
    output = output_of(context)
    check_room(room, "plan")
    net = load_model(source)
    samples = calibration(net, source, given)
    made = encrypted.plan(net, packing=packing, calibration=samples, precision_bits=precision_bits)
    output.result(made.to_dict(), str(made))
