"""Words that several commands share: rooms, models, calibration."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from kakuri import model, zoo
from kakuri.cli.inputs import read_samples
from kakuri.errors import KakuriError

if TYPE_CHECKING:
    import onnx_ir as ir

ROOMS = ("encrypted", "codegen")

RoomArgument = Annotated[
    str, typer.Argument(metavar="ROOM", help="The protection: encrypted or codegen.", show_default=False)
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="An .onnx or .tflite file, or the name of a shipped network.", show_default=False
    ),
]
CalibrationOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--calibration",
        help="Inputs like those to come: pictures, .npy, IDX or a folder. Shipped digits for shipped networks.",
        show_default=False,
    ),
]
PackingOption = Annotated[
    str, typer.Option("--packing", help="multiplexed (latency, auto), channel (the document's) or batch (throughput).")
]
PrecisionOption = Annotated[
    int | None,
    typer.Option(
        "--precision-bits",
        min=1,
        max=40,
        help="Wanted bits of the answer after the point.",
        show_default="8; in multiplexed packing what the answer's size asks for",
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, max=1024, help="Cores to use.", show_default="all")
]


def check_room(room: str, command: str = "") -> None:
    """Raises KK-C02 for a room that does not exist, KK-C01 for one that has a ``command`` of its own."""
    if command and room == "codegen":
        hint = f"kakuri {command} {room} MODEL ..."
        raise KakuriError("KK-C01", "options come after the room and the model", got=room, hint=hint)
    if room not in ROOMS:
        close = get_close_matches(room, ROOMS, 1)
        hint = f"did you mean {close[0]}?" if close else "the room comes before the model: kakuri plan encrypted MODEL"
        raise KakuriError("KK-C02", "no such room", got=repr(room), limit=", ".join(ROOMS), hint=hint)


def load_model(source: str) -> ir.Model:
    """A file, or else a shipped network of that name. Raises KK-F12 and KK-M.."""
    if Path(source).exists():
        return model.load(Path(source))
    shipped = zoo.weights.names()
    if source in shipped:
        return model.load(zoo.weights.path(source))
    close = get_close_matches(source, shipped, 1)
    hint = f"did you mean {close[0]}?" if close else f"an .onnx or .tflite file, or one of ours: {', '.join(shipped)}"
    raise KakuriError("KK-F12", "no such model", where=source, hint=hint)


def input_shape(net: ir.Model) -> tuple[int, ...]:
    """Shape of one sample, without the batch axis."""
    shape = net.graph.inputs[0].shape
    return tuple(int(d) for d in shape.numpy()[1:]) if shape is not None else ()


def calibration(net: ir.Model, source: str, given: list[Path] | None) -> NDArray[np.float32] | None:
    """The samples given; for a shipped network the shipped digits; otherwise none, and ``plan`` warns."""
    if given:
        return read_samples(given, input_shape(net))
    if Path(source).exists() or source not in zoo.weights.names():
        return None
    images: NDArray[np.float32] = zoo.samples.mnist_sample().images
    return images
