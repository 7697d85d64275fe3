"""``kakuri build codegen MODEL -o FOLDER --protect 3 --key weights.kkey``: the network as a C project.

Guarantees: existing files are kept without ``--force``; a key is made when it does not exist, and never printed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from kakuri import codegen
from kakuri.cli.output import JsonOption, Output, facts, output_of
from kakuri.cli.plan_codegen import (
    CommentsOption,
    EntryOption,
    ProtectOption,
    TargetOption,
    ThreadsOption,
    WeightsOption,
)
from kakuri.cli.rooms import ModelArgument, load_model
from kakuri.codegen.comparison import Comparison
from kakuri.codegen.examples import random_inputs
from kakuri.codegen.form import PERMUTED
from kakuri.codegen.key import WeightsKey
from kakuri.errors import KakuriError


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="codegen", show_default=False)],
    source: ModelArgument,
    *,
    folder: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")],
    target: TargetOption = "x86-64",
    entry: EntryOption = "infer",
    weights: WeightsOption = "embedded",
    protect: ProtectOption = 0,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="From level 2 on: the key file (.kkey); made when missing.", show_default=False),
    ] = None,
    threads: ThreadsOption = 1,
    comments: CommentsOption = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Also compile the test program, into the folder.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compile, run random inputs, compare every layer with the model.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: JsonOption = False,
) -> None:
    """Write the network as C that needs no model file and no inference library."""
    output = output_of(context)
    if (key is None) == (protect >= PERMUTED):
        what = "this level needs a key file" if key is None else "this level uses no key"
        raise KakuriError("KK-C01", what, where=f"--protect {protect}", hint="--protect 2, 3 or 4 with --key FILE")
    net = load_model(source)
    with output.progress("generating") as step:
        secret = _key(key).secret if key is not None else None
        plan = codegen.plan(
            net,
            target=target,
            entry=entry,
            weights=weights,
            protect=protect,
            comments=comments,
            key=secret,
            threads=threads,
        )
        made = plan.build(folder, overwrite=force)
        if compiled:
            step("compiling", 0.4)
            made.compile(folder)
        step("comparing with the model", 0.6)
        found = made.check(random_inputs(made.plan.program, np.random.default_rng(0)), layers=True) if check else None
    _show(output, made, found, key)


def _key(path: Path) -> WeightsKey:
    if os.path.lexists(path):
        return WeightsKey.load(path)
    fresh = WeightsKey.generate()
    fresh.save(path)
    return fresh


def _show(output: Output, made: codegen.Source, found: Comparison | None, key: Path | None) -> None:
    written = sorted(made.plan.files())
    rows = {str(made.folder): f"{len(written)} files; the interface is {made.plan.entry}.h"}
    data: dict[str, Any] = {"folder": str(made.folder), "files": written, "plan": made.plan.to_dict()}
    if key is not None:
        rows[str(key)] = "stays with you; from level 3 on the device needs its 32 bytes"
        data["key"] = str(key)
    if found is not None:
        worst = found.worst
        rows["compared"] = f"{len(found.differences)} tensors; the worst, {worst.name}, {worst.relative:.3g} relative"
        data["check"] = found.to_dict()
    output.result(data, facts(rows))
