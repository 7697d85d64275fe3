"""``kakuri build enclave MODEL -o lenet.kkr --layers 5:10 --for KEY``: the package that only one device opens.
``kakuri build enclave MODEL --backend optee -o out/ --for KEY``: a Trusted Application, its client and their package.

Guarantees: an existing package is kept without ``--force``; keys are made when they do not exist, and never printed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from kakuri import enclave
from kakuri.cli.maker import maker_of
from kakuri.cli.output import JsonOption, facts, output_of
from kakuri.cli.plan_enclave import AnswerOption, BackendName, BackendOption, LayersOption, SecureMemoryOption, planned
from kakuri.cli.rooms import ModelArgument, load_model
from kakuri.enclave.optee import OpteePlan
from kakuri.errors import KakuriError
from kakuri.trust import wrapping_key
from kakuri.trust.device_key import Recipient, new_device_key, recipient_of
from kakuri.trust.secret_file import read_header
from kakuri.trust.signing import Signer
from kakuri.trust.wrapping_key import WrappingKey
from kakuri.units import bytes_text


def command(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="enclave", show_default=False)],
    source: ModelArgument,
    *,
    package: Annotated[Path, typer.Option("-o", "--output", help="The package to write (.kkr); optee: the folder.")],
    device: Annotated[
        str,
        typer.Option("--for", help="The device's public key (64 digits) or its key file; a new file is made."),
    ],
    layers: LayersOption = "0:",
    secure_memory: SecureMemoryOption = "10 MiB",
    backend: BackendOption = BackendName.PROCESS,
    answer: AnswerOption = "",
    signer: Annotated[
        Path | None,
        typer.Option("--signer", help="The maker's key file; made when missing.", show_default="maker.kkey beside it"),
    ] = None,
    version: Annotated[int, typer.Option("--version", min=1, help="Of this package.")] = 1,
    minimum_version: Annotated[
        int, typer.Option("--minimum-version", min=1, help="Devices refuse older ones from now on.")
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing package.")] = False,
    json: JsonOption = False,
) -> None:
    """Seal the layers inside to one device, sign everything, and write one package."""
    output = output_of(context)
    if os.path.lexists(package) and not force and backend is BackendName.PROCESS:
        hint = "choose another name, or --force to replace it"
        raise KakuriError("KK-F11", "file exists and is not replaced", where=package, hint=hint)
    with output.progress("planning") as step:
        made = planned(load_model(source), layers, secure_memory, backend, answer)
        recipient, holder = _recipient(device)
        maker = maker_of(package.with_name("maker.kkey") if signer is None else signer)
        step("compiling and sealing", 0.3)
        written = _build(
            made, package, recipient, maker[0], version=version, minimum_version=minimum_version, overwrite=force
        )
    rows = {
        str(written): f"{bytes_text(written.stat().st_size)}, sealed for {holder[:40]}",
        str(maker[1]): "for the devices, over a channel that they trust",
    }
    data = {
        "package": str(written),
        "maker": str(maker[1]),
        "sealed_for": holder,
        "plan": made.to_dict(),
    }
    output.result(data, facts(rows))


def _build(
    made: enclave.EnclavePlan | OpteePlan, to: Path, recipient: Recipient | WrappingKey, maker: Signer, **settings: Any
) -> Path:
    """The sealed package that was written. Raises as the plan's ``build``, and KK-K40 for a key that no TEE makes."""
    if isinstance(made, enclave.EnclavePlan):
        return made.build(to, recipient, maker, **settings)
    if not isinstance(recipient, Recipient):
        hint = "64 digits, from `client key` on the device"
        raise KakuriError("KK-K40", "a Trusted Application's package is sealed to its device's public key", hint=hint)
    return made.build(to, recipient, maker, **settings) / "sealed.bin"


def _recipient(device: str) -> tuple[Recipient | WrappingKey, str]:
    """Digits, the public half of a key file, or a symmetric key, and its name; a missing ``.kkey`` file is made."""
    path = Path(device)
    if path.suffix == ".kkey" and os.path.lexists(path) and read_header(path).kind == wrapping_key.KIND:
        return WrappingKey.load(path), f"whoever holds {path.name}"
    if path.suffix != ".kkey":
        found = Recipient.from_hex(device)
    else:
        found = recipient_of(path) if os.path.lexists(path) else new_device_key(path)
    return found, f"device {found.public_key.hex()}"
