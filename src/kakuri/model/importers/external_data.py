"""Weights that an ONNX file keeps in other files.

Guarantees: only regular files inside the model's own folder are read, after symbolic links are resolved; offset and
    length are checked against the file's size and the tensor's declared size first; the total stays within the limit.
Does not guarantee: that a file does not change while it is read.
Source: the ONNX specification, docs/ExternalData.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import onnx

from kakuri.errors import KakuriError, Problem
from kakuri.files import open_regular
from kakuri.model.importers.structure import shown
from kakuri.model.limits import Limits


def bring_in(proto: onnx.ModelProto, folder: Path | None, limits: Limits) -> list[Problem]:
    """Replace, in place, external data by the bytes themselves; ``folder`` None refuses any. Returns the problems."""
    problems: list[Problem] = []
    left = limits.file_bytes
    for tensor in _tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        try:
            data = _read(tensor, folder, left)
        except KakuriError as error:
            problems.extend(error.problems)
            continue
        left -= len(data)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
        tensor.raw_data = data
    return problems


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from proto.graph.initializer
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t


def _read(tensor: onnx.TensorProto, folder: Path | None, left: int) -> bytes:
    where = f"tensor {shown(tensor.name)}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise KakuriError("KK-M06", "the tensor's data lies outside the model", where=where)
    root = folder.resolve()
    try:
        path = (root / location).resolve()
        inside = location and "\0" not in location and not Path(location).is_absolute() and path.is_relative_to(root)
        if not inside:
            raise KakuriError(
                "KK-M06", "external data must lie in the model's folder", where=where, got=shown(location)
            )
        with open_regular(path) as file:
            return _range(file, entries, left, where)
    except KakuriError as error:
        if error.code == "KK-M06":
            raise
        raise KakuriError("KK-M06", error.problem.what, where=where, got=shown(location)) from None
    except (OSError, ValueError, RuntimeError) as error:
        raise KakuriError(
            "KK-M06", "cannot read external data", where=where, got=f"{shown(location)}, {type(error).__name__}"
        ) from None


def _range(file: BinaryIO, entries: dict[str, str], left: int, where: str) -> bytes:
    """The declared range of the file, at most ``left`` bytes; without a length, all that follows the offset."""
    size = os.fstat(file.fileno()).st_size
    offset = _number(entries.get("offset", "0"))
    length = _number(entries.get("length") or str(max(0, size - offset)))
    if offset > size or length > min(left, size - offset):
        raise KakuriError(
            "KK-M06",
            "external data range out of bounds",
            where=where,
            got=f"offset {offset}, length {length}",
            limit=f"file of {size} bytes, {left} bytes in total",
        )
    file.seek(offset)
    parts: list[bytes] = []
    while length > 0 and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    if length > 0:
        raise KakuriError("KK-M06", "external data ended early", where=where)
    return b"".join(parts)


def _number(text: str) -> int:
    """A decimal count of at most 18 digits; ValueError otherwise."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError("not a count of bytes")
    return int(text)
