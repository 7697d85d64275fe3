"""The one way in which a package's bytes are laid out.

Purpose: given (name, size, CRC-32) of every entry, produce the exact bytes of every zip header.
Guarantees: writer and reader both call ``plan_layout``, so that the reader does not interpret headers: it rebuilds
them and compares. Every byte of a package outside the entries' data is therefore determined; there is no room for
overlaps, gaps, duplicate or hidden entries, differing local and central names, extra fields, comments, flags,
encryption or compression.
Does not guarantee: anything about the data itself; the manifest's hashes do.
Source: PKWARE APPNOTE 6.3.9 sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (end records),
4.5.3 (zip64); the alignment field is 0xD935, as Android's zipalign writes it.

Why not ``zipfile``: it follows whatever the central directory says. It accepts prepended data, overlapping and
repeated entries, local headers that differ from the directory, comments and compression, and each of these has been a
way to show two readers two different archives. Refusing them needs the header bytes anyway, and comparing bytes is the
shorter check.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from kakuri.errors import KakuriError

ALIGNMENT_BYTES = 64
_SENTINEL = 0xFFFFFFFF
_DOS_TIME, _DOS_DATE = 0, 0x21  # 1980-01-01, the zip epoch: a package says nothing about when it was made
_ALIGNMENT_TAG = 0xD935
_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR64 = struct.Struct("<IIQI")
_ALIGNMENT = struct.Struct("<HHH")
_EXTRA64_BYTES = 20
_MODE_REGULAR_644 = 0o100644 << 16

TAIL_BYTES = _END.size
TAIL64_BYTES = _END64.size + _LOCATOR64.size + _END.size
MAX_ENTRIES = 0xFFFE  # 0xFFFF would announce zip64


@dataclass(frozen=True)
class Record:
    """What the zip says about an entry."""

    name: str
    size_bytes: int
    crc32: int


@dataclass(frozen=True)
class Layout:
    """``headers[i]`` stands at ``header_offsets[i]`` and its data directly behind it, at ``data_offsets[i]``.

    ``directory`` stands at ``directory_offset``, then ``tail``, which ends the file at ``total_bytes``.
    """

    headers: tuple[bytes, ...]
    header_offsets: tuple[int, ...]
    data_offsets: tuple[int, ...]
    directory: bytes
    directory_offset: int
    tail: bytes

    @property
    def total_bytes(self) -> int:
        return self.directory_offset + len(self.directory) + len(self.tail)


def plan_layout(records: Sequence[Record]) -> Layout:
    """The layout of ``records`` in their order."""
    headers, header_offsets, data_offsets, central = [], [], [], []
    offset = 0
    for record in records:
        header = _local_header(record, offset)
        headers.append(header)
        header_offsets.append(offset)
        data_offsets.append(offset + len(header))
        central.append(_central_header(record, offset))
        offset += len(header) + record.size_bytes
    directory = b"".join(central)
    return Layout(
        tuple(headers),
        tuple(header_offsets),
        tuple(data_offsets),
        directory,
        offset,
        _tail(len(records), len(directory), offset),
    )


def _needs64(value: int) -> bool:
    return value >= _SENTINEL


def data_offset(name: str, header_offset: int) -> int:
    """Where the data of ``name`` starts when its header stands at ``header_offset``; the same for every size."""
    unpadded = header_offset + _LOCAL.size + len(name) + _EXTRA64_BYTES + _ALIGNMENT.size
    return unpadded + -unpadded % ALIGNMENT_BYTES


def _local_header(record: Record, offset: int) -> bytes:
    name = record.name.encode("ascii")
    large = _needs64(record.size_bytes)
    extra64 = struct.pack("<HHQQ", 1, 16, record.size_bytes, record.size_bytes) if large else b""
    extra_bytes = data_offset(record.name, offset) - offset - _LOCAL.size - len(name)
    padding = extra_bytes - len(extra64) - _ALIGNMENT.size
    extra = extra64 + _ALIGNMENT.pack(_ALIGNMENT_TAG, 2 + padding, ALIGNMENT_BYTES) + bytes(padding)
    size = _SENTINEL if large else record.size_bytes
    version = 45 if large else 10
    fixed = _LOCAL.pack(
        0x04034B50, version, 0, 0, _DOS_TIME, _DOS_DATE, record.crc32, size, size, len(name), len(extra)
    )
    return fixed + name + extra


def _central_header(record: Record, offset: int) -> bytes:
    name = record.name.encode("ascii")
    large, far = _needs64(record.size_bytes), _needs64(offset)
    body = (struct.pack("<QQ", record.size_bytes, record.size_bytes) if large else b"") + (
        struct.pack("<Q", offset) if far else b""
    )
    extra = struct.pack("<HH", 1, len(body)) + body if body else b""
    size = _SENTINEL if large else record.size_bytes
    version = 45 if large or far else 10
    fixed = _CENTRAL.pack(
        0x02014B50,
        (3 << 8) | 45,
        version,
        0,
        0,
        _DOS_TIME,
        _DOS_DATE,
        record.crc32,
        size,
        size,
        len(name),
        len(extra),
        0,
        0,
        0,
        _MODE_REGULAR_644,
        _SENTINEL if far else offset,
    )
    return fixed + name + extra


def _tail(count: int, directory_bytes: int, directory_offset: int) -> bytes:
    far = _needs64(directory_offset)
    end = _END.pack(0x06054B50, 0, 0, count, count, directory_bytes, _SENTINEL if far else directory_offset, 0)
    if not far:
        return end
    end64_offset = directory_offset + directory_bytes
    end64 = _END64.pack(
        0x06064B50, _END64.size - 12, (3 << 8) | 45, 45, 0, 0, count, count, directory_bytes, directory_offset
    )
    return end64 + _LOCATOR64.pack(0x07064B50, 0, end64_offset, 1) + end


@dataclass(frozen=True)
class Tail:
    """Where the directory is said to be; believed only after ``plan_layout`` has reproduced it."""

    entries: int
    directory_bytes: int
    directory_offset: int
    tail_bytes: int


def read_tail(last_bytes: bytes) -> Tail:
    """Reads the end records from the last ``TAIL64_BYTES`` bytes (or fewer) of a file. Raises KK-F21."""
    if len(last_bytes) < _END.size or last_bytes[-_END.size :][:4] != b"PK\x05\x06":
        raise KakuriError(
            "KK-F21",
            "not a whole Kakuri package: the zip end record is missing",
            hint="the file is truncated or is not a .kkr; copy it again",
        )
    *_, count, directory_bytes, offset, _ = _END.unpack(last_bytes[-_END.size :])
    if offset != _SENTINEL:
        return Tail(count, directory_bytes, offset, TAIL_BYTES)
    if len(last_bytes) < TAIL64_BYTES:
        raise KakuriError("KK-F21", "not a whole Kakuri package: the zip64 end record is missing")
    far = _END64.unpack(last_bytes[-TAIL64_BYTES:][: _END64.size])
    return Tail(count, directory_bytes, far[9], TAIL64_BYTES)


def read_directory(directory: bytes, entries: int) -> list[Record]:
    """Reads ``entries`` records. Raises KK-F22 when they do not fill ``directory`` exactly or a name is not ASCII."""
    records: list[Record] = []
    at = 0
    for index in range(entries):
        if len(directory) - at < _CENTRAL.size:
            raise _damaged(f"directory record {index}")
        fixed = _CENTRAL.unpack_from(directory, at)
        crc32, size, name_bytes, extra_bytes = fixed[7], fixed[9], fixed[10], fixed[11]
        name_at = at + _CENTRAL.size
        at = name_at + name_bytes + extra_bytes
        if at > len(directory):
            raise _damaged(f"directory record {index}")
        name = directory[name_at : name_at + name_bytes]
        if not name.isascii():
            raise _damaged(f"directory record {index}")
        if size == _SENTINEL:
            if extra_bytes < 12:
                raise _damaged(f"directory record {index}")
            (size,) = struct.unpack_from("<Q", directory, name_at + name_bytes + 4)
        records.append(Record(name.decode("ascii"), size, crc32))
    if at != len(directory):
        raise _damaged("end of the directory")
    return records


def _damaged(where: str) -> KakuriError:
    return KakuriError("KK-F22", "the package's zip directory is damaged", where=where, hint="copy the file again")
