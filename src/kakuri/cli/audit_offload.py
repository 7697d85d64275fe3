"""``kakuri audit offload RECORDING``: attacks on what a worker really held during a training.

Guarantees: the blinded bytes of ``kakuri.offload.recording``; the adversary's base model is what ``--base`` says, the
strongest one without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from kakuri.audit.offload import ATTACKS, offloaded
from kakuri.cli.audit_report import attacked, check_destination, reported
from kakuri.cli.inputs import MAX_FILE_BYTES, read_npy
from kakuri.cli.output import JsonOption, output_of
from kakuri.errors import KakuriError
from kakuri.files import read_bounded
from kakuri.offload.recording import Recording
from kakuri.offload.recording_file import load

_BASES = "public, private, or a .npy file"


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="offload", show_default=False)],
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="From kakuri.offload.recording_file.")],
    *,
    base: Annotated[
        str,
        typer.Option(
            "--base",
            help="What the adversary holds: public (the exact first weights), private (others), or its own in a .npy.",
        ),
    ] = "public",
    to: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also save the report: .html or .json.", show_default=False)
    ] = None,
    attacks: Annotated[str, typer.Option("--attacks", help=f"all, or some of {', '.join(ATTACKS)}.")] = "all",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the attacks' randomness.")] = 0,
    json: JsonOption = False,
) -> int:
    """Attack what a worker saw; exit code 8 unless every attack is at chance."""
    output = output_of(context)
    chosen = ATTACKS if attacks == "all" else tuple(name.strip() for name in attacks.split(","))
    unknown = [name for name in chosen if name not in ATTACKS]
    if unknown:
        raise KakuriError("KK-A06", "no such attack", got=", ".join(unknown), limit=", ".join(ATTACKS))
    check_destination(to)
    subject = load(recording)
    subjects = offloaded(subject, _base(base, subject, seed))
    with output.progress("attacking") as step:
        report = attacked(subjects, chosen, seed, step)
    return reported(output, report, to)


def _base(text: str, recording: Recording, seed: int) -> NDArray[Any]:
    """(n, m): the weights that the adversary starts from."""
    plain = recording.plain_weights
    if text == "public":
        return plain
    if text == "private":
        return np.random.default_rng(seed).normal(0.0, float(plain.std()), plain.shape)
    path = Path(text)
    if not path.exists():
        raise KakuriError("KK-C01", "no such base", where="--base", got=text, limit=_BASES)
    found = read_npy(read_bounded(path, limit_bytes=MAX_FILE_BYTES), path)
    if found.shape != plain.shape:
        hint = f"inputs x outputs of layer {recording.layer}; a Linear's weight is the transpose"
        raise KakuriError(
            "KK-D32", "the base has another shape", where=path, got=found.shape, limit=plain.shape, hint=hint
        )
    return found
