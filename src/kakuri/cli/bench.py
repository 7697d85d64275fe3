"""``kakuri bench NAME``: measurements, the peer in the same run."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from kakuri import bench
from kakuri.cli.output import JsonOption, output_of, printable, table
from kakuri.errors import KakuriError

_FIRST = (
    "latency_seconds",
    "cpu_seconds",
    "accuracy_percent",
    "label_agreement_percent",
    "agreement_percent",
    "peak_bytes",
    "ratio",
)


def command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Which benchmark.", show_default=False)] = "",
    *,
    threads: Annotated[int, typer.Option("--threads", min=1, max=1024, help="Cores, for ours and the peer.")] = 1,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Timed inputs of the peer.")] = 5,
    case: Annotated[str, typer.Option("--case", help="Only cases that contain this text.")] = "",
    packing: Annotated[str, typer.Option("--packing", help="multiplexed, channel, batch or auto.")] = "auto",
    images: Annotated[int, typer.Option("--images", min=1, help="How many inputs.")] = 100,
    agreement: Annotated[
        int, typer.Option("--agreement", min=0, help="encrypted-*: only compare labels of N test images; resumable.")
    ] = 0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="personal-*: how many times everything is drawn.")] = 2,
    people: Annotated[int, typer.Option("--people", min=2, max=60, help="personal-lfw: general persons.")] = 30,
    keep: Annotated[
        str, typer.Option("--keep", help="personal-*, offload-integrity: a folder for finished runs; resumable.")
    ] = "",
    models: Annotated[str, typer.Option("--models", help="codegen: a network's file, or a folder of them.")] = "",
    listed: Annotated[bool, typer.Option("--list", help="List the benchmarks.")] = False,
    json: JsonOption = False,
) -> None:
    """Measure, with the peer in the same run; a figure that was not measured is not shown."""
    output = output_of(context)
    if listed:
        output.result({"benchmarks": bench.names()}, "\n".join(bench.names()))
        return
    if not name:
        raise KakuriError("KK-C20", "which benchmark?", limit=", ".join(bench.names()), hint="kakuri bench --list")
    settings = {"packing": packing, "images": str(images), "agreement": str(agreement), "models": models}
    settings |= {"seeds": str(seeds), "keep": keep, "people": str(people)}
    options = bench.Options(threads=threads, runs=runs, case=case, settings=settings, report=output.note)
    document = bench.run(name, options)
    output.result(document, *_shown(document))


def _shown(document: dict[str, Any]) -> list[Any]:
    machine = document["machine"]
    head = (
        f"{document['name']} on {machine['processor']}, {machine['threads']} threads, kernel {machine['kernel_path']}"
    )
    keys = [key for key in _FIRST if any(key in row for row in document["rows"])]
    rows = table("system", "case", *(key.replace("_", " ") for key in keys))
    for row in document["rows"]:
        rows.add_row(*(escape(printable(_cell(row.get(key, "")))) for key in ("system", "case", *keys)))
    return [head, "", rows]


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
