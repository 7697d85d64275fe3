"""``kakuri plan enclave MODEL --layers 5:10``: what goes inside, what memory it takes, who sees what.
``kakuri plan enclave MODEL --advise --members ... --inputs ...``: what every cut costs and measurably leaks.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import onnx_ir as ir
import typer

from kakuri import enclave
from kakuri.cli.inputs import read_labels, read_samples
from kakuri.cli.output import JsonOption, output_of
from kakuri.cli.rooms import ModelArgument, input_shape, load_model
from kakuri.enclave import optee
from kakuri.enclave.advice_picture import picture
from kakuri.enclave.advisor import advise
from kakuri.enclave.leaks import Samples
from kakuri.errors import KakuriError
from kakuri.files import atomic_write

LayersOption = Annotated[
    str, typer.Option("--layers", help="The layers inside, both ends included; to the last one without an end.")
]
SecureMemoryOption = Annotated[
    str, typer.Option("--secure-memory", help="What weights, activations and boundary inside may take.")
]


class BackendName(enum.Enum):
    PROCESS = "process"
    OPTEE = "optee"


BackendOption = Annotated[
    BackendName, typer.Option("--backend", help="A sandboxed process, or a Trusted Application for OP-TEE.")
]
AnswerOption = Annotated[
    str, typer.Option("--answer", help="optee: what leaves the TEE: full, rounded:N or label.", show_default="full")
]
SamplesOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="--advise: trained on (--members), never seen (--inputs): pictures, .npy or IDX.", show_default=False
    ),
]
_MOST = 1000


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="enclave", show_default=False)],
    source: ModelArgument,
    *,
    layers: LayersOption = "0:",
    secure_memory: SecureMemoryOption = "10 MiB",
    backend: BackendOption = BackendName.PROCESS,
    answer: AnswerOption = "",
    advised: Annotated[bool, typer.Option("--advise", help="Attack every cut instead; takes minutes.")] = False,
    members: SamplesOption = None,
    inputs: SamplesOption = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option("--labels", help="--advise: of the members, then of the inputs: .npy or IDX.", show_default=False),
    ] = None,
    queries: Annotated[int, typer.Option("--queries", min=20, help="--advise: what a thief may ask.")] = 200,
    to: Annotated[
        Path | None, typer.Option("-o", "--output", help="--advise: a picture (.svg).", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what a partition takes and who sees what; touches no key."""
    output, net = output_of(context), load_model(source)
    if not advised:
        made = planned(net, layers, secure_memory, backend, answer)
        output.result(made.to_dict(), str(made))
        return
    if not members or not inputs or labels is None or len(labels) != 2:
        hint = "--members TRAIN --labels TRAIN_LABELS --inputs TEST --labels TEST_LABELS"
        raise KakuriError("KK-C01", "--advise needs samples and their labels", hint=hint)
    known, unknown = (_samples(net, paths, file) for paths, file in ((members, labels[0]), (inputs, labels[1])))
    with output.progress("attacking every cut") as step:
        advice = advise(net, known, unknown, queries=queries, secure_memory=secure_memory, progress=step)
    if to is not None:
        with atomic_write(to, overwrite=True) as file:
            file.write(picture(advice).encode())
    output.result(advice.to_dict(), str(advice))


def planned(
    net: ir.Model, layers: str, secure_memory: str, backend: BackendName, answer: str
) -> enclave.EnclavePlan | optee.OpteePlan:
    """Raises KK-C04 for an answer that the process backend does not have."""
    if backend is BackendName.OPTEE:
        return optee.plan(net, layers=layers, answer=answer or "full", memory=secure_memory)
    if answer:
        raise KakuriError("KK-C04", "--answer is the Trusted Application's", got=answer, hint="--backend optee")
    return enclave.plan(net, layers=layers, secure_memory=secure_memory)


def _samples(net: ir.Model, paths: list[Path], labels: Path) -> Samples:
    """At most ``_MOST`` samples with their labels. Raises KK-D32 when there are fewer labels."""
    images = read_samples(paths, input_shape(net))[:_MOST]
    found = read_labels(labels)
    if len(found) < len(images):
        raise KakuriError("KK-D32", "fewer labels than inputs", where=labels, got=len(found), limit=len(images))
    return Samples(images, found[: len(images)])
