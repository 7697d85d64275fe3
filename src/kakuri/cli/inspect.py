"""``kakuri inspect FILE``: what is inside, without secrets.

Guarantees: of a secret key file only the public header is read; hashes of a package are checked only with ``--verify``.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.markup import escape

from kakuri import model
from kakuri import package as packages
from kakuri.cli.inputs import MAX_FILE_BYTES
from kakuri.cli.kinds import Kind, kind_of, wrong_kind
from kakuri.cli.output import JsonOption, facts, output_of, printable, table
from kakuri.encrypted import Answer, Deployment, Query
from kakuri.errors import KakuriError
from kakuri.files import read_bounded
from kakuri.trust.secret_file import read_header
from kakuri.units import bytes_text

Found = tuple[dict[str, Any], list[RenderableType]]


def command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any .kkr, .kkey, query, answer or .onnx.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Also check the SHA-256 of every entry of a package.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say what a file is and what is inside, without secrets."""
    kind = kind_of(file)
    readers: dict[Kind, Callable[[Path], Found]] = {
        Kind.PACKAGE: lambda path: _package(path, verify),
        Kind.SECRET: _secret,
        Kind.QUERY: lambda path: _message(path, Query, "encrypted query"),
        Kind.ANSWER: lambda path: _message(path, Answer, "encrypted answer"),
        Kind.OTHER: _model,
    }
    data, parts = readers[kind](file)
    output_of(context).result({"file": str(file), "bytes": file.stat().st_size, **data}, *parts)


def _package(path: Path, verify: bool) -> Found:
    with packages.open_package(path) as opened:
        if verify:
            opened.verify()
        listed = opened.manifest.entries
        data: dict[str, Any] = {
            "kind": "package",
            "room": opened.room,
            "created_by": opened.manifest.created_by,
            "digest": opened.digest,
            "verified": verify,
            "entries": [{"name": item.name, "bytes": item.size_bytes, "sha256": item.sha256} for item in listed],
            "content": opened.content,
        }
        details = _deployment(opened) if opened.room == "encrypted" else {}
    rows = table("entry", "size", "sha256", right=("size",))
    for item in listed:
        rows.add_row(escape(item.name), bytes_text(item.size_bytes), item.sha256)
    checked = "all entries checked" if verify else "entries not checked; --verify does"
    head = {
        "kind": f"package for {opened.room}, written by {opened.manifest.created_by}",
        "digest": opened.digest,
        "hashes": checked,
    }
    return data | ({"deployment": details} if details else {}), [facts(head | details), "", rows]


def _deployment(opened: packages.Package) -> dict[str, Any]:
    found = Deployment.from_json(opened.read("deployment.json"))
    parameters = found.parameters
    return {
        "network": found.name,
        "packing": str(_recipe(opened).get("packing", "")),
        "input": f"{found.input.shape} in {found.input.ciphertexts} ciphertexts",
        "output": f"{found.output.shape} in {found.output.ciphertexts} ciphertexts",
        "samples_per_query": found.capacity,
        "ring": f"N = {parameters.n}, log2 QP = {parameters.log_qp:.1f}, {parameters.security_bits}-bit security",
        "precision": f"{found.precision_bits} bits after the point",
        "key_id": found.key_id,
        "deployment_digest": found.digest.hex(),
    }


def _recipe(opened: packages.Package) -> dict[str, Any]:
    recipe = opened.content.get("recipe")
    return recipe if isinstance(recipe, dict) else {}


def _secret(path: Path) -> Found:
    header = read_header(path)
    exposed = bool(header.mode & (stat.S_IRWXG | stat.S_IRWXO))
    data: dict[str, Any] = {
        "kind": "secret key file",
        "for": header.kind,
        "public": header.public,
        "protected": header.protected,
        "mode": f"{header.mode:04o}",
        "exposed": exposed,
        "sections": header.sections,
    }
    rows: dict[str, object] = {
        "kind": f"secret key file for {header.kind}",
        **header.public,
        "passphrase": "needed" if header.protected else "none: whoever reads the file has the key",
        "mode": f"{header.mode:04o}" + (f" - others may read it; chmod 600 {path}" if exposed else ""),
        **{f"section {name}": f"{bytes_text(size)}, not shown" for name, size in header.sections.items()},
    }
    return data, [facts(rows)]


def _message(path: Path, kind: type[Query] | type[Answer], name: str) -> Found:
    content = read_bounded(path, limit_bytes=MAX_FILE_BYTES)
    message = kind.from_bytes(content)
    data: dict[str, Any] = {
        "kind": name,
        "samples": message.samples,
        "ciphertexts": len(message.ciphertexts),
        "deployment_digest": message.digest.hex(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    rows = {
        "kind": f"{name} of {message.samples} samples",
        "ciphertexts": f"{len(message.ciphertexts)}, {bytes_text(sum(map(len, message.ciphertexts)))}",
        "deployment": message.digest.hex(),
        "sha256": data["sha256"],
    }
    return data, [facts(rows)]


def _model(path: Path) -> Found:
    try:
        net = model.load(path)
    except KakuriError as error:
        if path.suffix.lower() == ".onnx" or error.code == "KK-F13":
            raise
        raise wrong_kind(path, Kind.OTHER, "a .kkr, .kkey, query, answer or .onnx file") from None
    nodes = [{"name": str(node.name), "operator": node.op_type} for node in net.graph]
    weights = sum(value.const_value.size for value in net.graph.initializers.values() if value.const_value is not None)
    values = {
        name: [f"{value.name} {value.shape}" for value in part]
        for name, part in (("inputs", net.graph.inputs), ("outputs", net.graph.outputs))
    }
    data: dict[str, Any] = {"kind": "ONNX model", "name": net.graph.name, "weights": weights, **values, "nodes": nodes}
    rows = table("node", "operator")
    for item in nodes:
        rows.add_row(escape(printable(item["name"])), escape(printable(item["operator"])))
    head = {
        "kind": f"ONNX model {net.graph.name}",
        "input": ", ".join(values["inputs"]),
        "output": ", ".join(values["outputs"]),
        "weights": f"{weights:,}",
    }
    return data, [facts(head), "", rows]
