"""The parts of an ELF file (64 bits, little-endian) that attacks read; anything else has no parts."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEAD, _SECTION = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQIIQQ")
_MOST = 4096


@dataclass(frozen=True)
class Section:
    """address: in memory, from where the file is loaded."""

    content: bytes
    address: int


def sections(data: bytes) -> dict[str, Section]:
    """By name, every section that lies in the file."""
    if data[:5] != b"\x7fELF\2" or len(data) < _HEAD.size:
        return {}
    head = _HEAD.unpack_from(data)
    start, size, count, names_index = head[6], head[11], head[12], head[13]
    if size != _SECTION.size or count > _MOST or names_index >= count or start + size * count > len(data):
        return {}
    table = [_SECTION.unpack_from(data, start + size * index) for index in range(count)]
    names = data[table[names_index][4] : table[names_index][4] + table[names_index][5]]
    lying = [row for row in table if row[1] not in {0, 8}]
    return {_name(names, row[0]): Section(data[row[4] : row[4] + row[5]], row[3]) for row in lying}


def _name(names: bytes, at: int) -> str:
    return names[at:].split(b"\0", 1)[0].decode("ascii", "replace")


def imported(data: bytes) -> list[str]:
    """Names of the functions that the file takes from libraries."""
    parts = sections(data)
    if ".dynsym" not in parts or ".dynstr" not in parts:
        return []
    symbols, names = parts[".dynsym"].content, parts[".dynstr"].content
    found = []
    for at in range(24, len(symbols) - 23, 24):
        name, info, _, section = struct.unpack_from("<IBBH", symbols, at)
        if section == 0 and info & 15 in {0, 2}:
            found.append(_name(names, name))
    return sorted(set(found))
