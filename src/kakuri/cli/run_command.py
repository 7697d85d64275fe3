"""``kakuri run FILE INPUT...``: the deployed thing, on either side.

Purpose: what happens is decided by what FILE and INPUT are, never by options: a key file and pictures encrypt, a
package and queries compute, a key file and answers decrypt.
Guarantees: the side with the package takes no secret key and no input in the clear (KK-K30, KK-C10, exit codes 5 and
2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from kakuri import package as packages
from kakuri.cli.inputs import MAX_FILE_BYTES, read_samples
from kakuri.cli.kinds import Kind, kind_of, refuse_secret, wrong_kind
from kakuri.cli.output import JsonOption, Output, facts, output_of, table
from kakuri.cli.rooms import ThreadsOption, passphrase_for
from kakuri.encrypted import Answer, Client, Query, Server
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.units import bytes_text, seconds_text


def command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A package (server) or a key file (client).")],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Pictures, arrays, encrypted queries or answers.")
    ],
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Where the result goes: a file, or a folder for several.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing results.")] = False,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Encrypt, compute or decrypt: FILE and INPUT say which."""
    output = output_of(context)
    kind, given = kind_of(file), {path: Kind.OTHER if path.is_dir() else kind_of(path) for path in inputs}
    if kind is Kind.PACKAGE:
        _compute(output, file, given, _Target(to, force), threads)
    elif kind is Kind.SECRET:
        secrets = [path for path, each in given.items() if each in {Kind.SECRET, Kind.PACKAGE, Kind.QUERY}]
        if secrets:
            raise wrong_kind(secrets[0], given[secrets[0]], "pictures and arrays to encrypt, or answers to decrypt")
        answers = [path for path, each in given.items() if each is Kind.ANSWER]
        if answers and len(answers) < len(given):
            raise KakuriError("KK-C10", "inputs to encrypt and answers to decrypt are mixed", hint="run them apart")
        client = Client.load(file, passphrase_for(file))
        if answers:
            _decrypt(output, client, answers, _Target(to, force))
        else:
            _encrypt(output, client, inputs, _Target(to, force))
    else:
        hint = "kakuri run net.kkr QUERY on the server, kakuri run client.kkey INPUT on the client"
        raise wrong_kind(file, kind, "a package or a key file", hint)


class _Target:
    """Where results go: one to the file named, several into the folder named."""

    def __init__(self, path: Path | None, force: bool) -> None:
        self.path, self.force = path, force

    def names(self, count: int, ending: str) -> list[Path]:
        if self.path is None:
            raise KakuriError("KK-C04", "say where the result goes", hint=f"-o result.{ending}")
        if count == 1 and not self.path.is_dir():
            return [self.path]
        if self.path.exists() and not self.path.is_dir():
            raise KakuriError("KK-C04", f"{count} results need a folder", where=self.path, hint="-o FOLDER")
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise KakuriError("KK-F10", f"cannot make the folder: {error.strerror}", where=self.path) from error
        return [self.path / f"{index:04d}.{ending}" for index in range(1, count + 1)]

    def write(self, path: Path, data: bytes) -> None:
        with atomic_write(path, overwrite=self.force) as file:
            file.write(data)


def _encrypt(output: Output, client: Client, inputs: list[Path], target: _Target) -> None:
    samples = read_samples(inputs, client.deployment.input.shape)
    size = client.deployment.capacity
    groups = [samples[at : at + size] for at in range(0, len(samples), size)]
    paths = target.names(len(groups), "kkq")
    total_bytes = 0
    with output.progress("encrypting") as step:
        for index, (group, path) in enumerate(zip(groups, paths, strict=True)):
            data = client.encrypt(group).to_bytes()
            target.write(path, data)
            total_bytes += len(data)
            step("encrypting", (index + 1) / len(groups))
    data_dict = {"queries": [str(path) for path in paths], "samples": len(samples), "bytes": total_bytes}
    what = f"{len(samples)} inputs in {len(groups)} encrypted queries" if len(samples) > 1 else "1 encrypted query"
    output.result(data_dict, facts({_shown(paths): f"{what}, {bytes_text(total_bytes)}; send it to the server"}))


def _compute(output: Output, file: Path, given: dict[Path, Kind], target: _Target, threads: int | None) -> None:
    for path, kind in given.items():
        if kind is Kind.SECRET:
            raise refuse_secret(path)
        if kind is not Kind.QUERY:
            hint = "encrypt it on the client first: kakuri run client.kkey INPUT -o query.kkq"
            raise wrong_kind(path, kind, "an encrypted query", hint)
    with packages.open_package(file) as opened:
        room = opened.room
    if room != "encrypted":
        raise KakuriError("KK-F48", "this version cannot run packages of that room", where=file, got=room)
    paths = target.names(len(given), "kka")
    seconds, total_bytes = 0.0, 0
    with output.progress("loading the package") as step:
        server = Server.load(file, threads=threads)
        for index, (source, path) in enumerate(zip(given, paths, strict=True)):
            query = Query.from_bytes(read_bounded(source, limit_bytes=MAX_FILE_BYTES))

            def moved(done: int, of: int, index: int = index) -> None:
                step(f"computing on ciphertexts, query {index + 1} of {len(given)}", (index + done / of) / len(given))

            answer = server.run(query, progress=moved).to_bytes()
            target.write(path, answer)
            total_bytes += len(answer)
            seconds += server.last_profile.seconds() if server.last_profile else 0.0
    data = {"answers": [str(path) for path in paths], "bytes": total_bytes, "seconds": seconds}
    what = "1 encrypted answer" if len(paths) == 1 else f"{len(paths)} encrypted answers"
    output.result(
        data, facts({_shown(paths): f"{what}, {bytes_text(total_bytes)}, computed in {seconds_text(seconds)}"})
    )


def _decrypt(output: Output, client: Client, answers: Sequence[Path], target: _Target) -> None:
    labels = client.deployment.labels
    rows: list[tuple[Path, NDArray[np.float64]]] = []
    for path in answers:
        values = client.decrypt(Answer.from_bytes(read_bounded(path, limit_bytes=MAX_FILE_BYTES)))
        rows.extend((path, scores) for scores in values.reshape(len(values), -1))
    if target.path is not None:
        with atomic_write(target.path, overwrite=target.force) as file:
            np.save(file, np.stack([scores for _, scores in rows]), allow_pickle=False)
    shown = table("answer", "label", "score", "next best", right=("score",))
    listed = []
    for path, scores in rows:
        order = np.argsort(-scores, kind="stable")
        names = [labels[i] if i < len(labels) else str(i) for i in order]
        shown.add_row(str(path), names[0], f"{scores[order[0]]:.3f}", ", ".join(_ranked(names, scores[order])))
        listed.append({"answer": str(path), "label": names[0], "index": int(order[0]), "scores": scores.tolist()})
    output.result({"answers": listed}, shown)


def _ranked(names: Sequence[str], scores: NDArray[np.float64]) -> Iterator[str]:
    for name, score in list(zip(names, scores, strict=True))[1:3]:
        yield f"{name} ({score:.3f})"


def _shown(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0].parent}/"
