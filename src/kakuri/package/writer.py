"""Writing a package.

Purpose: one function, ``write``.
Guarantees: atomic (see ``kakuri.files``); equal room, content, entries and kakuri version give equal bytes, whatever
the order of the mappings and however an entry is given (bytes, path, chunks); constant memory for paths and chunks.
Does not guarantee: that the content means anything to the room that will read it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TypeAlias

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, open_regular
from kakuri.package import layout, manifest
from kakuri.package.limits import Limits
from kakuri.version import __version__

Source: TypeAlias = "bytes | bytearray | memoryview | Path | Iterable[bytes]"
_CHUNK_BYTES = 1 << 20


def write(
    path: Path | str,
    room: str,
    content: Mapping[str, object],
    entries: Mapping[str, Source],
    *,
    overwrite: bool = True,
    limits: Limits | None = None,
) -> manifest.Manifest:
    """Writes ``path`` and returns its manifest.

    entries: name -> bytes, a ``Path`` whose bytes are copied, or chunks that are consumed once.
    Raises KK-F23 for a name that is not allowed, KK-F24 for content that is not JSON, KK-F27 above a limit, and what
    ``kakuri.files.atomic_write`` raises.
    """
    limits = limits or Limits()
    manifest.check_room(room)
    for name in entries:
        manifest.check_entry_name(name)
    body = strict_json.plain_object(content)
    names = sorted(entries)
    _within("entries", len(names), min(limits.entries, layout.MAX_ENTRIES - 1))
    empty = tuple(manifest.Entry(name, 0, "0" * 64) for name in names)
    draft = manifest.Manifest(room, f"kakuri {__version__}", empty, body)
    manifest_bytes = manifest.reserved_bytes(draft)
    _within("manifest bytes", manifest_bytes, limits.manifest_bytes)
    with atomic_write(path, overwrite=overwrite) as file:
        records = [layout.Record(manifest.NAME, manifest_bytes, 0)]
        written = []
        end = layout.data_offset(manifest.NAME, 0) + manifest_bytes
        for name in names:
            start = layout.data_offset(name, end)
            entry, record = _copy(file, start, name, entries[name], limits)
            written.append(entry)
            records.append(record)
            end = start + entry.size_bytes
        final = manifest.Manifest(draft.room, draft.created_by, tuple(written), draft.content)
        _finish(file, final, records)
    return final


def _copy(
    file: BinaryIO, start: int, name: str, source: Source, limits: Limits
) -> tuple[manifest.Entry, layout.Record]:
    sha256, crc32, size_bytes = hashlib.sha256(), 0, 0
    file.seek(start)
    for chunk in _chunks(name, source):
        size_bytes += len(chunk)
        _within(f"bytes of entry {name!r}", size_bytes, limits.entry_bytes)
        _within("package bytes", start + size_bytes, limits.package_bytes)
        file.write(chunk)
        sha256.update(chunk)
        crc32 = zlib.crc32(chunk, crc32)
    return manifest.Entry(name, size_bytes, sha256.hexdigest()), layout.Record(name, size_bytes, crc32)


def _finish(file: BinaryIO, final: manifest.Manifest, records: list[layout.Record]) -> None:
    head = manifest.encode(final)
    records[0] = layout.Record(manifest.NAME, len(head), zlib.crc32(head))
    plan = layout.plan_layout(records)
    for offset, header in zip(plan.header_offsets, plan.headers, strict=True):
        file.seek(offset)
        file.write(header)
    file.seek(plan.data_offsets[0])
    file.write(head)
    file.seek(plan.directory_offset)
    file.write(plan.directory + plan.tail)
    file.truncate()


def _chunks(name: str, source: Source) -> Iterator[memoryview]:
    if isinstance(source, Path):
        with open_regular(source) as file:
            while part := file.read(_CHUNK_BYTES):
                yield memoryview(part)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        whole = _flat(name, source)
        for at in range(0, len(whole), _CHUNK_BYTES):
            yield whole[at : at + _CHUNK_BYTES]
    else:
        for part in source:
            yield _flat(name, part)


def _flat(name: str, part: object) -> memoryview:
    if isinstance(part, (bytes, bytearray)) or (isinstance(part, memoryview) and part.c_contiguous):
        return memoryview(part).cast("B")
    raise KakuriError("KK-F23", "an entry is bytes, a Path or chunks of bytes", where=name, got=type(part).__name__)


def _within(what: str, got: int, limit: int) -> None:
    if got > limit:
        raise KakuriError("KK-F27", f"too many {what}", got=got, limit=limit, hint="raise it in package.Limits")
