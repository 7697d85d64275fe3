"""The demo's second part: the same network sealed for a device, answering from a sandboxed worker.

Purpose: seal, load, ask, and show that a package with one byte changed is refused.
Guarantees: nothing is shown that did not happen in this run; where a part is missing (a compiler, OpenSSL, the kernel's
confinement) the error stands in its place.
Does not guarantee: a TEE; the backend is a sandbox and says so.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from rich.console import RenderableType

from kakuri import enclave
from kakuri.cli.output import facts
from kakuri.errors import KakuriError
from kakuri.trust.device_key import new_device_key
from kakuri.trust.signing import Signer
from kakuri.units import bytes_text, seconds_text
from kakuri.zoo.samples import Sample


@dataclass(frozen=True)
class Sealed:
    """agree: answers with the label that the network gives in the open; refused: the code for a changed package."""

    agree: int
    pictures: int
    sealed_bytes: int
    load_seconds: float
    answer_seconds: float
    refused: str
    backend: str


def sealed_part(net: ir.Model, sample: Sample, plain: NDArray[Any]) -> tuple[dict[str, Any], list[RenderableType]]:
    """(plain JSON values, what to draw). plain: the network's scores in the open, one row a picture."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = _answered(net, sample, plain, Path(folder))
    except KakuriError as error:
        return {"error": error.code}, [facts({"on a device": f"not here: {error}"})]
    shown = {
        "on a device": f"all layers sealed ({bytes_text(found.sealed_bytes)} of weights), opened inside a worker only",
        "kept by": found.backend,
        "agreement": f"{found.agree} of {found.pictures} answers equal those in the open",
        "time": f"loaded in {seconds_text(found.load_seconds)}, {seconds_text(found.answer_seconds)} a picture",
        "one byte changed": f"refused, {found.refused}",
    }
    return asdict(found), [facts(shown)]


def _answered(net: ir.Model, sample: Sample, plain: NDArray[Any], folder: Path) -> Sealed:
    plan = enclave.plan(net, layers="0:")
    signer, package = Signer.generate(), folder / "net.kkr"
    plan.build(package, new_device_key(folder / "device.kkey"), signer, version=1)
    policy = enclave.Policy(signer.public, folder / "device.kkey", minimum_version=1)
    started = time.perf_counter()
    with enclave.load(package, policy) as session:
        loaded = time.perf_counter()
        (name,) = session.inputs
        answers = [
            next(iter(session.run({name: image[None]}).outputs.values())) for image in sample.images[: len(plain)]
        ]
        ended = time.perf_counter()
        kind = str(session.guarantee).splitlines()[0]
    said = np.concatenate(answers).reshape(len(plain), -1).argmax(axis=1)
    return Sealed(
        int((said == plain.reshape(len(plain), -1).argmax(axis=1)).sum()),
        len(plain),
        sum(tensor.size_bytes for tensor in plan.tensors),
        loaded - started,
        (ended - loaded) / len(plain),
        _refusal(package, policy),
        kind,
    )


def _refusal(package: Path, policy: enclave.Policy) -> str:
    """The code with which the package is refused once the byte in its middle is another."""
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 1
    package.write_bytes(content)
    try:
        enclave.load(package, policy).close()
    except KakuriError as error:
        return error.code
    return "NOT refused"
