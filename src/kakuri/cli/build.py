"""``kakuri build encrypted MODEL -o PACKAGE --keys KEYFILE``: the server's package and the client's key.

Guarantees: either both files appear or neither; an existing key is kept without ``--force``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from kakuri import encrypted
from kakuri.cli.output import JsonOption, facts, output_of
from kakuri.cli.passphrases import new_passphrase
from kakuri.cli.rooms import (
    CalibrationOption,
    ModelArgument,
    PackingOption,
    PrecisionOption,
    RoomArgument,
    ThreadsOption,
    calibration,
    check_room,
    load_model,
)
from kakuri.encrypted import Server
from kakuri.errors import KakuriError, Problem
from kakuri.units import bytes_text


def command(
    context: typer.Context,
    room: RoomArgument,
    source: ModelArgument,
    *,
    package: Annotated[Path, typer.Option("-o", "--output", help="The server's package to write (.kkr).")],
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="The client's secret key file to write (.kkey, mode 0600).", show_default=False),
    ] = None,
    given: CalibrationOption = None,
    packing: PackingOption = "auto",
    precision_bits: PrecisionOption = None,
    labels: Annotated[str, typer.Option("--labels", help="Names of the outputs, separated by commas.")] = "",
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Protect the key file by a passphrase.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files; the old key is lost.")] = False,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Make keys and compile the network: one file for the server, one for the client."""
    output = output_of(context)
    check_room(room, "build")
    if keys is None:
        raise KakuriError("KK-C01", "Missing option '--keys'.", hint="kakuri build --help")
    _check_targets(package, keys, force)
    secret_words = new_passphrase(passphrase)
    net = load_model(source)
    names = tuple(name.strip() for name in labels.split(",")) if labels else ()
    with output.progress("planning") as step:
        samples = calibration(net, source, given)
        made = encrypted.plan(net, packing=packing, calibration=samples, precision_bits=precision_bits, labels=names)
        step("making keys", 0.3)
        client, server = made.build(threads=threads)
        step("writing", 0.8)
        _write_package(server, package, before=lambda: client.save(keys, secret_words, overwrite=force))
    sizes = {"package_bytes": package.stat().st_size, "key_file_bytes": keys.stat().st_size}
    data = {"package": str(package), "keys": str(keys), "protected": passphrase, **sizes, "plan": made.to_dict()}
    lock = "protected by a passphrase" if passphrase else "mode 0600, no passphrase"
    rows = {
        str(package): f"{bytes_text(sizes['package_bytes'])}, for the server: network, program, evaluation keys",
        str(keys): f"{bytes_text(sizes['key_file_bytes'])}, stays with the client: secret key, {lock}",
    }
    output.result(data, facts(rows))


def _check_targets(package: Path, keys: Path, force: bool) -> None:
    hint = "choose another name, or --force to replace it"
    problems = [
        Problem("KK-F11", "file exists and is not replaced", str(path), hint=hint)
        for path in (package, keys)
        if not force and os.path.lexists(path)
    ]
    if package.resolve() == keys.resolve():
        problems.append(Problem("KK-C03", "package and key need different names", str(package)))
    if problems:
        raise KakuriError.collect(problems)


def _write_package(server: Server, package: Path, before: Callable[[], None]) -> None:
    """The package is written under another name, then ``before`` writes the key: a failure leaves neither."""
    waiting = package.with_name(f".{package.name}.{secrets.token_hex(4)}.part")
    try:
        server.save(waiting)
        before()
        os.replace(waiting, package)
    finally:
        waiting.unlink(missing_ok=True)
