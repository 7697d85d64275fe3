"""Reading a package that may be damaged or hostile.

Purpose: ``open_package`` and the ``Package`` it returns.
Guarantees: every header byte is compared with the one allowed layout and the manifest with its one encoding before a
``Package`` exists; an entry's SHA-256 is computed once, before its first byte is handed out; nothing is allocated that
a declared limit has not admitted; every refusal is a ``KakuriError``.
Does not guarantee: authorship (see ``kakuri.package``), nor safety against a process that rewrites the open file: a
mapped view shows such changes, and a file that shrinks while mapped ends the process with SIGBUS. Open packages from
folders that only their owner may write. CRC-32 fields of entries are written for zip tools and compared with the
manifest's only for the manifest itself; SHA-256 covers the rest.
Errors: KK-F21 and KK-F22 zip structure, KK-F25 and KK-F26 manifest, KK-F27 above a limit, KK-F28 no such entry, KK-F29
hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kakuri.closing import Closing
from kakuri.errors import KakuriError, Problem
from kakuri.files import open_regular, open_regular_file
from kakuri.package import layout, manifest
from kakuri.package.limits import MIB, Limits
from kakuri.strict_json import Json

_DIRECTORY_RECORD_BYTES = 46 + 100 + 28  # fixed part, longest name, zip64 field
_START = b"PK\x03\x04"
_FIRST_NAME_AT = 30


def is_package(path: Path | str) -> bool:
    """Whether a file begins like a package; says nothing about the rest. Raises KK-F12 when it cannot be read."""
    with open_regular(path) as file:
        head = file.read(_FIRST_NAME_AT + len(manifest.NAME))
    return head[:4] == _START and head[_FIRST_NAME_AT:] == manifest.NAME.encode()


def open_package(path: Path | str, limits: Limits | None = None) -> Package:
    """Opens and checks structure and manifest; the entries' data is checked when it is asked for.

    Raises a ``KakuriError`` of the codes in the module's head.
    """
    limits = limits or Limits()
    file = open_regular_file(path)
    try:
        plan = _read_structure(file, limits)
        document, digest = _read_manifest(file, plan, limits)
    except KakuriError as error:
        file.close()
        raise _at(path, error) from None
    except OSError as error:
        file.close()
        raise KakuriError("KK-F12", f"cannot read: {error.strerror}", where=path) from error
    return Package(Path(path), file, document, data_offsets=plan.data_offsets[1:], digest=digest, limits=limits)


class Package(Closing):
    """An open package; close it or use it as a context manager. Safe to share between threads."""

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        document: manifest.Manifest,
        *,
        data_offsets: tuple[int, ...],
        digest: str,
        limits: Limits,
    ) -> None:
        self.path = path
        self.manifest = document
        self._file = file
        self._limits = limits
        self._digest = digest
        self._entries = {entry.name: entry for entry in document.entries}
        self._offsets = dict(zip(self._entries, data_offsets, strict=True))
        self._verified: set[str] = set()
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None

    @property
    def room(self) -> str:
        return self.manifest.room

    @property
    def content(self) -> dict[str, Json]:
        """The room's own object from the manifest."""
        return self.manifest.content

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the manifest, which holds every entry's hash: it names the whole package."""
        return self._digest

    def entry(self, name: str) -> manifest.Entry:
        """Raises KK-F28 when there is no such entry."""
        found = self._entries.get(name)
        if found is None:
            raise KakuriError(
                "KK-F28", "the package has no such entry", where=self.path, got=repr(name)[:120], limit=self.names
            )
        return found

    def read(self, name: str) -> bytes:
        """A copy of an entry's checked bytes. Raises KK-F28, KK-F29, and KK-F27 above ``limits.read_bytes``."""
        entry = self.entry(name)
        if entry.size_bytes > self._limits.read_bytes:
            raise KakuriError(
                "KK-F27",
                "entry is too large to copy",
                where=name,
                got=f"{entry.size_bytes} bytes",
                limit=f"{self._limits.read_bytes} bytes",
                hint="use view()",
            )
        data = _read_at(self._file, self._offsets[name], entry.size_bytes)
        with self._lock:
            if name not in self._verified:
                self._compare(entry, hashlib.sha256(data).hexdigest())
        return data

    def view(self, name: str) -> memoryview:
        """An entry's checked bytes without a copy: read-only, mapped from the file, starting at a multiple of 64 bytes.

        Stays usable until it is released, also after ``close``. Raises KK-F28 and KK-F29.
        """
        entry = self.entry(name)
        if entry.size_bytes == 0:
            return memoryview(self.read(name))
        start = self._offsets[name]
        with self._lock:
            whole = memoryview(self._mapping())
            part = whole[start : start + entry.size_bytes]
            if name not in self._verified:
                self._compare(entry, hashlib.sha256(part).hexdigest())
        return part

    def chunks(self, name: str, chunk_bytes: int = MIB) -> Iterator[bytes]:
        """An entry's checked bytes in pieces of at most ``chunk_bytes``, in constant memory."""
        entry = self.entry(name)
        self._verify_streaming(entry)
        for at in range(0, entry.size_bytes, chunk_bytes):
            yield _read_at(self._file, self._offsets[name] + at, min(chunk_bytes, entry.size_bytes - at))

    def place(self, name: str) -> tuple[int, int]:
        """(offset, length) of an entry's data in the file, for readers that check it themselves. Raises KK-F28."""
        return self._offsets[self.entry(name).name], self.entry(name).size_bytes

    def map_unchecked(self, name: str) -> memoryview:
        """As ``view``, but without the hash, for entries whose content is authenticated otherwise. Raises KK-F28."""
        start, size_bytes = self.place(name)
        with self._lock:
            return memoryview(self._mapping())[start : start + size_bytes]

    def descriptor(self) -> int:
        """A new descriptor of the open file, for another process; the caller closes it."""
        return os.dup(self._file.fileno())

    def verify(self) -> None:
        """Checks every entry not checked yet; all damaged ones are reported together."""
        problems: list[Problem] = []
        for entry in self._entries.values():
            try:
                self._verify_streaming(entry)
            except KakuriError as error:
                problems.extend(error.problems)
        if problems:
            raise KakuriError.collect(problems)

    def close(self) -> None:
        with self._lock:
            self._file.close()
            if self._map is not None:
                with contextlib.suppress(BufferError):  # views are in use; the mapping goes with the last of them
                    self._map.close()
                self._map = None

    def __repr__(self) -> str:
        return f"Package({str(self.path)!r}, room={self.room!r}, entries={len(self._entries)})"

    def _mapping(self) -> mmap.mmap:
        if self._file.closed:
            raise KakuriError("KK-F28", "the package is closed", where=self.path)
        if self._map is None:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map

    def _verify_streaming(self, entry: manifest.Entry) -> None:
        with self._lock:
            if entry.name in self._verified:
                return
            sha256 = hashlib.sha256()
            start = self._offsets[entry.name]
            for at in range(0, entry.size_bytes, MIB):
                sha256.update(_read_at(self._file, start + at, min(MIB, entry.size_bytes - at)))
            self._compare(entry, sha256.hexdigest())

    def _compare(self, entry: manifest.Entry, sha256: str) -> None:
        if sha256 != entry.sha256:
            raise KakuriError(
                "KK-F29",
                "entry is damaged: its SHA-256 is not the manifest's",
                where=f"{self.path}:{entry.name}",
                got=sha256,
                limit=entry.sha256,
                hint="copy the package again from its source",
            )
        self._verified.add(entry.name)


@dataclass(frozen=True)
class _Structure:
    """The checked zip structure: records and where their data stands."""

    records: tuple[layout.Record, ...]
    data_offsets: tuple[int, ...]


def _read_structure(file: BinaryIO, limits: Limits) -> _Structure:
    total = os.fstat(file.fileno()).st_size
    _within("package bytes", total, limits.package_bytes)
    last_bytes = _read_at(file, max(0, total - layout.TAIL64_BYTES), min(total, layout.TAIL64_BYTES))
    tail = layout.read_tail(last_bytes)
    _within("entries", tail.entries, limits.entries + 1)
    _within("directory bytes", tail.directory_bytes, min(limits.manifest_bytes, tail.entries * _DIRECTORY_RECORD_BYTES))
    if tail.directory_offset + tail.directory_bytes + tail.tail_bytes != total:
        raise _not_canonical("length")
    directory = _read_at(file, tail.directory_offset, tail.directory_bytes)
    records = layout.read_directory(directory, tail.entries)
    for record in records:
        _within(f"bytes of entry {record.name[:120]!r}", record.size_bytes, limits.entry_bytes)
    plan = layout.plan_layout(records)
    if plan.total_bytes != total or plan.directory_offset != tail.directory_offset:
        raise _not_canonical("length")
    if plan.directory != directory or last_bytes[-tail.tail_bytes :] != plan.tail:
        raise _not_canonical("directory")
    for record, offset, header in zip(records, plan.header_offsets, plan.headers, strict=True):
        if _read_at(file, offset, len(header)) != header:
            raise _not_canonical(f"header of {record.name[:120]!r}")
    return _Structure(tuple(records), plan.data_offsets)


def _read_manifest(file: BinaryIO, plan: _Structure, limits: Limits) -> tuple[manifest.Manifest, str]:
    if not plan.records or plan.records[0].name != manifest.NAME:
        raise KakuriError("KK-F25", "the first entry is not the manifest", limit=manifest.NAME)
    head = plan.records[0]
    _within("manifest bytes", head.size_bytes, limits.manifest_bytes)
    data = _read_at(file, plan.data_offsets[0], head.size_bytes)
    if zlib.crc32(data) != head.crc32:
        raise KakuriError("KK-F25", "the manifest is damaged: CRC-32 differs", hint="copy the package again")
    document = manifest.decode(data)
    listed = [(entry.name, entry.size_bytes) for entry in document.entries]
    stored = [(record.name, record.size_bytes) for record in plan.records[1:]]
    if listed != stored:
        raise KakuriError("KK-F25", "the manifest and the zip list different entries")
    return document, hashlib.sha256(data).hexdigest()


def _read_at(file: BinaryIO, offset: int, size_bytes: int) -> bytes:
    if file.closed:
        raise KakuriError("KK-F28", "the package is closed")
    parts = []
    while size_bytes:
        part = os.pread(file.fileno(), size_bytes, offset)
        if not part:
            raise KakuriError("KK-F21", "the file became shorter while it was read")
        parts.append(part)
        offset += len(part)
        size_bytes -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _within(what: str, got: int, limit: int) -> None:
    if got > limit:
        raise KakuriError("KK-F27", f"too many {what}", got=got, limit=limit)


def _not_canonical(what: str) -> KakuriError:
    return KakuriError(
        "KK-F22",
        f"not in the layout of a Kakuri package: {what}",
        hint="damaged, or written or repacked by another tool; use kakuri.package.write",
    )


def _at(path: Path | str, error: KakuriError) -> KakuriError:
    problem = error.problem
    where = f"{path}: {problem.where}" if problem.where else path
    return KakuriError(problem.code, problem.what, where=where, got=problem.got, limit=problem.limit, hint=problem.hint)
