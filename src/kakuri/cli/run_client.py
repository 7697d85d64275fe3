"""The client's side of ``kakuri run``: encrypting inputs, decrypting answers.

Only this side's process loads modules that can hold a secret key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kakuri.cli.inputs import MAX_FILE_BYTES, read_samples
from kakuri.cli.kinds import Kind, wrong_kind
from kakuri.cli.output import Output, facts, table
from kakuri.cli.passphrases import passphrase_for
from kakuri.cli.run_targets import Target, shown
from kakuri.encrypted import Answer, Client
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.units import bytes_text


def run_client(output: Output, keys: Path, given: dict[Path, Kind], target: Target) -> None:
    """Decrypts when ``given`` are answers, encrypts when they are pictures and arrays; refuses anything else."""
    for path, kind in given.items():
        if kind not in {Kind.ANSWER, Kind.OTHER}:
            raise wrong_kind(path, kind, "pictures and arrays to encrypt, or answers to decrypt")
    if len(set(given.values())) > 1:
        raise KakuriError("KK-C10", "inputs to encrypt and answers to decrypt are mixed", hint="run them apart")
    client = Client.load(keys, passphrase_for(keys))
    if Kind.ANSWER in given.values():
        decrypt(output, client, list(given), target)
    else:
        encrypt(output, client, list(given), target)


def encrypt(output: Output, client: Client, inputs: list[Path], target: Target) -> None:
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
    output.result(data_dict, facts({shown(paths): f"{what}, {bytes_text(total_bytes)}; send it to the server"}))


def decrypt(output: Output, client: Client, answers: Sequence[Path], target: Target) -> None:
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
