"""The device's side of a sealed package: ``kakuri run lenet.kkr maker.pub device.kkey INPUT...``.

An INPUT that ends in ``.sock`` makes the session resident: it answers inputs that are sealed to it, until it is ended.
Guarantees: the device's key is opened by the sandboxed worker alone; every answer is printed with the backend's
guarantee; the minimum version is remembered beside the key.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from kakuri import enclave
from kakuri.cli.inputs import read_samples
from kakuri.cli.kinds import Kind
from kakuri.cli.output import Output, facts, table
from kakuri.cli.run_targets import Target
from kakuri.enclave.minimum_versions import MinimumVersions
from kakuri.enclave.sealed import open_sealed
from kakuri.enclave.sensor_session import SensorService
from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.trust.signing import SignerPublic


def run_enclave(output: Output, package: Path, given: Mapping[Path, Kind], target: Target) -> None:
    """given: the maker's .pub file, the device's key file, and inputs."""
    makers = [path for path in given if path.suffix == ".pub"]
    keys = [path for path, kind in given.items() if kind is Kind.SECRET]
    inputs = [path for path in given if path not in makers and path not in keys]
    if len(makers) != 1 or len(keys) != 1 or not inputs:
        hint = "kakuri run net.kkr maker.pub device.kkey INPUT..."
        got = f"{len(makers)} .pub, {len(keys)} key files, {len(inputs)} inputs"
        raise KakuriError("KK-C10", "a sealed package needs its maker, a device key and inputs", got=got, hint=hint)
    sockets = [path for path in inputs if path.suffix == ".sock"]
    if sockets and (len(inputs) > 1 or target.path is not None):
        raise KakuriError("KK-C10", "a session that takes sealed inputs takes no other", got=len(inputs))
    with output.progress("loading the package"):
        session = _load(package, SignerPublic.load(makers[0]), keys[0])
    with session:
        if sockets:
            _serve(output, session, sockets[0])
            return
        (name, shape), *others = session.inputs.items()
        if others:
            raise KakuriError("KK-D32", "this network has several inputs", got=list(session.inputs), hint="use Python")
        answer = session.run({name: read_samples(inputs, shape[1:])})
    scores = answer.outputs[session.package.facts.outputs[0]]
    rows, labels = answers(scores.reshape(len(scores), -1), target)
    guarantee = answer.guarantee
    data = {"answers": labels, "version": session.package.version, "guarantee": guarantee.to_dict()}
    output.result(
        data, rows, "", facts({"guarantee": f"{guarantee.backend}: a {guarantee.kind}", "memory": guarantee.memory})
    )


def answers(scores: NDArray[Any], target: Target) -> tuple[Table, list[dict[str, object]]]:
    """scores (n, classes): a table for people and a list for programs; saved where ``target`` says."""
    if target.path is not None:
        with atomic_write(target.path, overwrite=target.force) as file:
            np.save(file, scores, allow_pickle=False)
    rows = table("sample", "label", "score", right=("score",))
    for number, row in enumerate(scores):
        rows.add_row(str(number), str(row.argmax()), f"{row.max():.3f}")
    return rows, [{"label": int(row.argmax()), "scores": row.tolist()} for row in scores]


def _load(package: Path, signer: SignerPublic, key: Path) -> enclave.EnclaveSession:
    """Under the minimum version that stands beside the key, which the package may raise."""
    versions = MinimumVersions(key)
    with open_sealed(package, signer) as opened:
        minimum = versions.of(signer, opened.facts.network)
    session = enclave.load(package, enclave.Policy(signer, key, minimum_version=minimum))
    try:
        versions.raise_to(signer, session.package.facts.network, session.package.minimum_version)
    except BaseException:
        session.close()
        raise
    return session


def _serve(output: Output, session: enclave.EnclaveSession, socket: Path) -> None:
    """Until Ctrl-C or SIGTERM."""
    old = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with SensorService(session, socket) as service:
            guarantee = session.guarantee
            data = {"session": str(service.file), "guarantee": guarantee.to_dict()}
            about = {
                str(service.file): "for the sensor, over a channel that it trusts",
                "guarantee": f"{guarantee.backend}: a {guarantee.kind}",
                "memory": guarantee.memory,
            }
            output.result(data, facts(about))
            sys.stdout.flush()
            with contextlib.suppress(KeyboardInterrupt):
                service.serve()
    finally:
        signal.signal(signal.SIGTERM, old)
