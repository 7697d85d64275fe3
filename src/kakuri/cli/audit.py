"""``kakuri audit PACKAGE``: attacks on exactly what the server of a package sees.

Guarantees: the package's own network, program and parameters, driven by the product's own client and server. Without
``--keys`` the queries are made under a fresh key pair, so that no secret key is needed where the audit runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx_ir as ir
import typer
from numpy.typing import NDArray

from kakuri import model, zoo
from kakuri.attacks import ATTACKS, select
from kakuri.audit import targets
from kakuri.cli.audit_report import attacked, check_destination, reported
from kakuri.cli.inputs import read_labels, read_samples
from kakuri.cli.kinds import Kind, kind_of, refuse_secret, wrong_kind
from kakuri.cli.output import JsonOption, output_of
from kakuri.cli.passphrases import passphrase_for
from kakuri.cli.rooms import ThreadsOption
from kakuri.encrypted import Client, Server
from kakuri.encrypted.rehearsal import rehearse
from kakuri.errors import KakuriError


def command(
    context: typer.Context,
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="The package to audit (.kkr).")],
    *,
    to: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also save the report: .html or .json.", show_default=False)
    ] = None,
    attacks: Annotated[str, typer.Option("--attacks", help=f"all, or some of {', '.join(ATTACKS)}.")] = "all",
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="The client's key file; a fresh key pair without it.", show_default=False),
    ] = None,
    inputs: Annotated[
        list[Path] | None,
        typer.Option(
            "--inputs", help="Pictures, .npy, IDX or a folder; the shipped digits without it.", show_default=False
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Their labels: .npy or IDX; the network's own without it.", show_default=False),
    ] = None,
    images: Annotated[int, typer.Option("--images", min=20, help="At most so many different inputs.")] = 200,
    answers: Annotated[
        int, typer.Option("--answers", min=45, help="So many queries are answered; this takes the time.")
    ] = 45,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the attacks' randomness.")] = 0,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> int:
    """Attack what the server sees; exit code 8 unless every attack is at chance."""
    output = output_of(context)
    chosen = select("all" if attacks == "all" else [name.strip() for name in attacks.split(",")])
    check_destination(to)
    with output.progress("loading the package") as step:
        client, server, net = _two_sides(package, keys, threads)
        samples, known = _Inputs(inputs, labels, images).read(client.deployment.input.shape)
        scores = model.reference_outputs(net, samples).reshape(len(samples), -1)
        subjects = targets.encrypted(
            client,
            server,
            samples,
            scores.argmax(axis=1) if known is None else known,
            scores=scores,
            evaluation_keys=server.evaluation_keys(),
            answers=answers,
            progress=lambda text, share: step(text, 0.05 + 0.5 * share),
        )
        report = attacked(subjects, chosen, seed, step)
    return reported(output, report, to)


@dataclass(frozen=True)
class _Inputs:
    """Where pictures and labels come from."""

    inputs: list[Path] | None
    labels: Path | None
    most: int

    def read(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """At most ``most`` samples (n, *shape) and their labels (n,), if any were given."""
        if self.inputs is None:
            sample = zoo.samples.mnist_sample()
            if sample.images.shape[1:] != shape:
                raise KakuriError(
                    "KK-D32",
                    "the shipped digits do not fit this network",
                    got=sample.images.shape[1:],
                    limit=shape,
                    hint="--inputs FOLDER --labels labels.npy",
                )
            return sample.images[: self.most], sample.labels[: self.most]
        samples = read_samples(self.inputs, shape)[: self.most]
        if self.labels is None:
            return samples, None
        found = read_labels(self.labels)
        if len(found) < len(samples):
            raise KakuriError(
                "KK-D32", "fewer labels than inputs", where=self.labels, got=len(found), limit=len(samples)
            )
        return samples, found[: len(samples)]


def _two_sides(package: Path, keys: Path | None, threads: int | None) -> tuple[Client, Server, ir.Model]:
    """The package's server and a client for it."""
    kind = kind_of(package)
    if kind is Kind.SECRET:
        raise refuse_secret(package)
    if kind is not Kind.PACKAGE:
        raise wrong_kind(package, kind, "a package (.kkr)")
    client, server, net = rehearse(package, threads)
    if keys is not None:
        client, server = Client.load(keys, passphrase_for(keys)), Server.load(package, threads)
        if client.deployment.digest != server.deployment.digest:
            what = "key file and package are not of one build"
            raise KakuriError("KK-F42", what, where=keys, hint="leave --keys out to audit with a fresh pair")
    return client, server, net
