"""The device's side of a sealed package: ``kakuri run lenet.kkr maker.pub device.kkey INPUT...``.

Guarantees: the device's key is opened by the sandboxed worker alone; every answer is printed with the backend's
guarantee; the minimum version is remembered beside the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kakuri import enclave
from kakuri.cli.inputs import read_samples
from kakuri.cli.kinds import Kind
from kakuri.cli.output import Output, facts, table
from kakuri.cli.run_targets import Target
from kakuri.enclave.minimum_versions import MinimumVersions
from kakuri.enclave.sealed import open_sealed
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
    signer, versions = SignerPublic.load(makers[0]), MinimumVersions(keys[0])
    with open_sealed(package, signer) as opened:
        minimum = versions.of(signer, opened.facts.network)
    policy = enclave.Policy(signer, keys[0], minimum_version=minimum)
    with output.progress("loading the package"), enclave.load(package, policy) as session:
        versions.raise_to(signer, session.package.facts.network, session.package.minimum_version)
        (name, shape), *others = session.inputs.items()
        if others:
            raise KakuriError("KK-D32", "this network has several inputs", got=list(session.inputs), hint="use Python")
        answer = session.run({name: read_samples(inputs, shape[1:])})
    scores = answer.outputs[session.package.facts.outputs[0]]
    scores = scores.reshape(len(scores), -1)
    if target.path is not None:
        with atomic_write(target.path, overwrite=target.force) as file:
            np.save(file, scores, allow_pickle=False)
    rows = table("sample", "label", "score", right=("score",))
    for number, row in enumerate(scores):
        rows.add_row(str(number), str(row.argmax()), f"{row.max():.3f}")
    labels = [{"label": int(row.argmax()), "scores": row.tolist()} for row in scores]
    guarantee = answer.guarantee
    data = {"answers": labels, "version": session.package.version, "guarantee": guarantee.to_dict()}
    output.result(
        data, rows, "", facts({"guarantee": f"{guarantee.backend}: a {guarantee.kind}", "memory": guarantee.memory})
    )
