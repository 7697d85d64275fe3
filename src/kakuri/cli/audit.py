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
from rich.markup import escape
from rich.table import Table

from kakuri import audit, model, zoo
from kakuri.attacks import ATTACKS, AttackResult, Verdict, select
from kakuri.audit import targets
from kakuri.cli import exit_codes
from kakuri.cli.inputs import read_labels, read_samples
from kakuri.cli.kinds import Kind, kind_of, refuse_secret, wrong_kind
from kakuri.cli.output import JsonOption, output_of, printable, table
from kakuri.cli.passphrases import passphrase_for
from kakuri.cli.rooms import ThreadsOption
from kakuri.encrypted import Client, Server
from kakuri.encrypted.rehearsal import rehearse
from kakuri.errors import KakuriError
from kakuri.trust import SeededRandomness
from kakuri.units import percent_text

_STYLES = {Verdict.AT_CHANCE: "green", Verdict.LEAK: "bold red", Verdict.INCONCLUSIVE: "yellow"}


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
    if to is not None and to.suffix.lower() not in {".html", ".htm", ".json"}:
        raise KakuriError("KK-A07", "a report is saved as .html or .json", where=to)
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
        done = 0

        def attacked(line: str) -> None:
            nonlocal done
            done += 1
            step(f"attacking: {line}", min(0.95, done / (4 * len(chosen))))

        report = audit.run(subjects, chosen, randomness=SeededRandomness(seed), progress=attacked)
    if to is not None:
        report.save(to)
    output.result(report.to_dict(), *shown(report))
    if to is not None:
        output.note(f"report saved to {to}")
    return exit_codes.OK if report.ok else exit_codes.AUDIT


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


def shown(report: audit.AuditReport) -> list[str | Table]:
    """The report for people."""
    rows = table("attack", "seen", "measured", "95 %", "chance", "unprotected", "verdict")
    for result in report.results:
        rows.add_row(*_row(result))
    refused = [f"{item.attack} refused: {item.reason}" for item in report.refused]
    summary = report.summary[:1].upper() + report.summary[1:]
    return [
        rows,
        "",
        *refused,
        f"{summary}. This says what these attacks found, not that there is nothing to find.",
    ]


def _row(result: AttackResult) -> tuple[str, ...]:
    style = _STYLES[result.verdict]
    low, high = percent_text(result.estimate.low), percent_text(result.estimate.high)
    return (
        result.attack,
        escape(printable(result.view)),
        percent_text(result.estimate.value),
        f"{low} to {high}",
        percent_text(result.chance.value),
        percent_text(result.unprotected.value),
        f"[{style}]{result.verdict.value}[/]",
    )
