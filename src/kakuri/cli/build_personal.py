"""``kakuri build personal MODEL FOLDER -o general.kkr``: the hand-off that devices learn from.

Guarantees: an existing package is kept without ``--force``; the publisher's key is made once and never printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kakuri import personal
from kakuri.cli.output import JsonOption, facts, output_of
from kakuri.cli.rooms import load_model
from kakuri.errors import KakuriError
from kakuri.model.graph import static_shape
from kakuri.personal.folders import read_general
from kakuri.personal.inputs.spec import InputSpec
from kakuri.personal.planning import PlanSettings
from kakuri.units import bytes_text


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="personal", show_default=False)],
    source: Annotated[str, typer.Argument(metavar="MODEL", help="A trained classifier (.onnx).", show_default=False)],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What it was trained on: a folder per class.", show_default=False)
    ],
    *,
    package: Annotated[Path, typer.Option("-o", "--output", help="The package to write (.kkr).")],
    held_out: Annotated[
        Path,
        typer.Option("--held-out", help="Samples of the same classes that the model was NOT trained on."),
    ],
    form: Annotated[str, typer.Option("--form", help="augmented, originals, compressed, features or statistics.")] = (
        "features"
    ),
    layer: Annotated[
        str,
        typer.Option("--layer", help="The layer that the trunk ends at; a wrong name lists them.", show_default=False),
    ] = "",
    cells: Annotated[int, typer.Option("--cells", min=1, help="A map there is averaged to about CELLS x CELLS.")] = 3,
    strategy: Annotated[str, typer.Option("--strategy", help="How samples are chosen.")] = "class-balanced",
    budget: Annotated[
        str, typer.Option("--budget", help="Bytes, or percent of all general data (5%).", show_default=False)
    ] = "",
    kind: Annotated[str, typer.Option("--kind", help="picture or sound.")] = "picture",
    crop: Annotated[float, typer.Option("--crop", help="Centred share of pictures that is kept.")] = 1.0,
    mean: Annotated[float, typer.Option("--mean", help="Of pixel values over 255, as in training.")] = 0.5,
    deviation: Annotated[float, typer.Option("--deviation", help="Of pixel values over 255, as in training.")] = 0.25,
    address: Annotated[
        str, typer.Option("--for", help="A device's address: only it can open the package.", show_default=False)
    ] = "",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing package.")] = False,
    json: JsonOption = False,
) -> None:
    """Choose general data within a budget, sign it with the model, and say what to expect."""
    output = output_of(context)
    recipient = _address(address)
    net = load_model(source)
    shape = static_shape(net.graph.inputs[0])[1:]
    if len(shape) != 3:
        raise KakuriError("KK-P04", "personalisation needs pictures or spectrograms", got=shape, limit="(C, H, W)")
    spec = InputSpec(kind, (shape[0], shape[1], shape[2]), crop, mean, deviation)
    recipe = personal.Recipe() if kind == "picture" else personal.Recipe(flip=False, shift=2)
    with output.progress("reading") as step:
        data = read_general(folder, held_out, spec)
        step("planning", 0.3)
        size, share = _budget(budget)
        settings = PlanSettings(form=form, strategy=strategy, layer=layer or None, cells=cells, seed=seed)
        made = personal.plan(
            net, data, budget_bytes=size, budget_percent=share, input=spec, recipe=recipe, settings=settings
        )
        step("writing", 0.9)
        made.build(package, recipient=recipient, overwrite=force)
    key = package.with_name("publisher.pub")
    rows = {
        str(package): f"{bytes_text(package.stat().st_size)}, signed" + (", encrypted" if recipient else ""),
        str(key): "for the devices, over a channel that they trust",
    }
    output.result({**made.to_dict(), "package": str(package), "publisher": str(key)}, str(made), "", facts(rows))


def _budget(text: str) -> tuple[int | None, float | None]:
    """Bytes and percent, of which at most one is given."""
    try:
        if not text:
            return None, None
        if text.endswith("%"):
            return None, float(text[:-1])
        return int(text), None
    except ValueError:
        raise KakuriError("KK-C01", "not a budget", where="--budget", got=text, hint="--budget 200000, or 5%") from None


def _address(text: str) -> bytes | None:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    if found and len(found) != 32:
        hint = "the 64 digits that `kakuri forget --address` shows on the device"
        raise KakuriError("KK-C01", "not a device's address", where="--for", got=text[:80], hint=hint)
    return found or None
