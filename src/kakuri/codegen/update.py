"""Other weights for a program that is deployed already: a signed package with a sealed blob.

Purpose: ``write_update(path, plan, signer, version=2)`` where projects are built, ``install_update(path, maker,
folder)`` where external weights lie. The program stays as it is.
Guarantees: only what ``maker`` signed is installed, only into a project with exactly the code that the blob is sealed
for, and never an older version than the installed one; the blob opens under the project's key alone.
Does not guarantee: freshness against whoever can write the folder: the installed version stands in its ``build.json``.
Errors: KK-G25 not an update for this project, KK-K41 not signed by this maker, those of ``kakuri.package``.

The entries: ``weights.bin``, the sealed blob; ``update.json``: entry, digest of the code, size, version;
``signature.json``: the model signature over both.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import onnx_ir as ir

from kakuri import package as packages
from kakuri import strict_json
from kakuri.codegen.built import RECORD, open_project
from kakuri.codegen.planning import CodegenPlan, plan
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.trust.signing import Signer, SignerPublic

ROOM = "codegen"
SIGNATURE = "signature.json"
_MAX_RECORD_BYTES = 1 << 20
_VERSION = "weights_version"
_FORM, _FORM_HINT = "only sealed, external weights can be replaced", 'protect=3, weights="external"'


def plan_like(net: ir.Model, folder: Path, key: bytes) -> CodegenPlan:
    """The plan of ``net`` with the settings of the project in ``folder``; key: the project's.

    Raises KK-G25 unless the code comes out as it is there, and what ``plan`` and ``open_project`` raise.
    """
    project = open_project(folder)
    record = json.loads(read_bounded(folder / RECORD, limit_bytes=_MAX_RECORD_BYTES))
    form = project.form
    if not (form.sealed and form.external):
        raise KakuriError("KK-G25", _FORM, where=folder, hint=_FORM_HINT)
    made = plan(
        net,
        target=str(record["target"]),
        entry=project.entry,
        protect=form.protect,
        weights="external",
        key=key,
        threads=form.threads,
    )
    code = f"{project.entry}_code.h"
    if _code(made.files()[code]) != record["sha256"].get(code):
        hint = "same network, same key, same version of kakuri, no --comments"
        raise KakuriError("KK-G25", "the code of this network differs from the project's", where=folder, hint=hint)
    return made


def write_update(path: Path | str, made: CodegenPlan, signer: Signer, *, version: int, overwrite: bool = False) -> Path:
    """made: of the same network, settings and key as the deployed one, with the new weights. Raises KK-G25."""
    if not (made.form.sealed and made.form.external):
        raise KakuriError("KK-G25", _FORM, hint=_FORM_HINT)
    files = made.files()
    blob = files[f"{made.entry}_weights.bin"]
    entries = {
        "weights.bin": blob,
        "update.json": strict_json.encode(
            {"entry": made.entry, "code": _code(files[f"{made.entry}_code.h"]), "bytes": len(blob), "version": version}
        ),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}
    entries[SIGNATURE] = signer.bundle(made.entry, digests)
    packages.write(path, ROOM, {"entry": made.entry}, entries, overwrite=overwrite)
    return Path(path)


def install_update(path: Path | str, maker: SignerPublic, folder: Path, *, minimum_version: int = 1) -> int:
    """The version that is installed then. Nothing is written unless everything is right."""
    project = open_project(folder)
    record = json.loads(read_bounded(folder / RECORD, limit_bytes=_MAX_RECORD_BYTES))
    blob, facts = _opened(path, maker)
    weights = f"{project.entry}_weights.bin"
    oldest = max(minimum_version, int(record.get(_VERSION, 1)))
    code = record["sha256"].get(f"{project.entry}_code.h")
    wanted = {"entry": project.entry, "code": code, "bytes": (folder / weights).stat().st_size}
    wrong = [name for name, value in wanted.items() if facts.get(name) != value]
    if not (project.form.sealed and project.form.external) or wrong or len(blob) != wanted["bytes"]:
        hint = "build the update with the project's own key, settings and network"
        raise KakuriError("KK-G25", "not an update for this project", where=path, got=wrong, hint=hint)
    version = facts.get("version")
    if type(version) is not int or version < oldest:
        raise KakuriError("KK-G25", "the update is too old", where=path, got=version, limit=f"at least {oldest}")
    record["sha256"][weights] = hashlib.sha256(blob).hexdigest()
    record[_VERSION] = version
    for name, data in ((weights, blob), (RECORD, (json.dumps(record, indent=2) + "\n").encode())):
        with atomic_write(folder / name, overwrite=True) as file:
            file.write(data)
    return version


def _opened(path: Path | str, maker: SignerPublic) -> tuple[bytes, dict[str, Any]]:
    with packages.open_package(os.fspath(path)) as opened:
        if opened.room != ROOM or set(opened.names) != {"weights.bin", "update.json", SIGNATURE}:
            raise KakuriError("KK-G25", "not an update of weights", where=path, got=opened.room, limit=ROOM)
        files = {entry.name: entry.sha256 for entry in opened.manifest.entries if entry.name != SIGNATURE}
        maker.verify_bundle(opened.read(SIGNATURE), files)
        facts = strict_json.decode(opened.read("update.json"), "KK-G25", "update.json")
        return opened.read("weights.bin"), facts


def _code(header: bytes) -> str:
    """The digest of the file that holds the digest of the code."""
    return hashlib.sha256(header).hexdigest()
