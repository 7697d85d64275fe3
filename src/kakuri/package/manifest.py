"""``manifest.json``: the first entry of every package.

Purpose: name the format, the room, the entries with size and SHA-256, and carry the room's own ``content``.
Guarantees: one encoding per manifest (sorted ``content``, no spaces, ASCII, finite numbers, unique keys); ``decode``
accepts nothing that ``encode`` would not have written. Trailing spaces fill the length that ``reserved_bytes`` gives,
so that the writer knows where the data starts before it knows the data's sizes.
Does not guarantee: authorship; ``digest`` names a package, and a signature over it is the rooms' business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.strict_json import Json

FORMAT = "kakuri-package"
VERSION = 1
NAME = "manifest.json"
_ENTRY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ROOM = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = ("format", "version", "room", "created_by", "entries", "content")
_MAX_SIZE = 10**19  # any size has at most 19 digits


@dataclass(frozen=True)
class Entry:
    """One file in a package. ``sha256`` is lower-case hex."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    room: str
    created_by: str
    entries: tuple[Entry, ...]
    content: dict[str, Json]


def check_room(room: str) -> None:
    if not _ROOM.fullmatch(room):
        raise KakuriError("KK-F23", "not a room's name", where="room", got=repr(room), limit=_ROOM.pattern)


def check_entry_name(name: str) -> None:
    """Raises KK-F23 for anything that could be a path, a hidden file or the manifest itself."""
    if not _ENTRY_NAME.fullmatch(name) or name == NAME:
        raise KakuriError(
            "KK-F23", "not a name for an entry", got=repr(name[:120]), limit=f"{_ENTRY_NAME.pattern}, not {NAME}"
        )


def reserved_bytes(manifest: Manifest) -> int:
    """The manifest's length on disk; depends on everything but the entries' sizes and hashes."""
    widest = tuple(Entry(entry.name, _MAX_SIZE - 1, "0" * 64) for entry in manifest.entries)
    return len(_encode(Manifest(manifest.room, manifest.created_by, widest, manifest.content)))


def encode(manifest: Manifest) -> bytes:
    return _encode(manifest).ljust(reserved_bytes(manifest), b" ")


def _encode(manifest: Manifest) -> bytes:
    document: dict[str, Json] = {
        "format": FORMAT,
        "version": VERSION,
        "room": manifest.room,
        "created_by": manifest.created_by,
        "entries": [
            {"name": entry.name, "bytes": entry.size_bytes, "sha256": entry.sha256} for entry in manifest.entries
        ],
        "content": manifest.content,
    }
    return strict_json.encode(document)


def decode(data: bytes) -> Manifest:
    """Raises KK-F25 for anything but the one encoding, KK-F26 for another format version."""
    document = strict_json.decode(data, "KK-F25", NAME)
    if document.get("format") != FORMAT:
        raise _invalid("format", document.get("format"), FORMAT)
    if document.get("version") != VERSION:
        raise KakuriError(
            "KK-F26",
            "package format version is not known here",
            where=NAME,
            got=repr(document.get("version"))[:40],
            limit=VERSION,
            hint="upgrade kakuri to the version that wrote the package",
        )
    if tuple(document) != _KEYS:
        raise _invalid("keys", list(document), list(_KEYS))
    room, created_by, content = document["room"], document["created_by"], document["content"]
    if not isinstance(room, str) or not _ROOM.fullmatch(room):
        raise _invalid("room", room, _ROOM.pattern)
    if not isinstance(created_by, str):
        raise _invalid("created_by", created_by, "text")
    if not isinstance(content, dict):
        raise _invalid("content", content, "an object")
    entries = document["entries"]
    if not isinstance(entries, list):
        raise _invalid("entries", entries, "a list")
    manifest = Manifest(room, created_by, _entries(entries), strict_json.plain_object(content))
    if encode(manifest) != data:
        raise _invalid("encoding", "another spelling of the same manifest", "the one encoding")
    return manifest


def _entries(items: Sequence[Json]) -> tuple[Entry, ...]:
    entries = []
    for index, item in enumerate(items):
        if not isinstance(item, dict) or tuple(item) != ("name", "bytes", "sha256"):
            raise _invalid(f"entries[{index}]", item, "name, bytes, sha256")
        name, size_bytes, sha256 = item["name"], item["bytes"], item["sha256"]
        if not isinstance(name, str) or not _ENTRY_NAME.fullmatch(name) or name == NAME:
            raise _invalid(f"entries[{index}].name", name, _ENTRY_NAME.pattern)
        if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or not 0 <= size_bytes < _MAX_SIZE:
            raise _invalid(f"entries[{index}].bytes", size_bytes, "a size")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise _invalid(f"entries[{index}].sha256", sha256, _SHA256.pattern)
        entries.append(Entry(name, size_bytes, sha256))
    names = [entry.name for entry in entries]
    if names != sorted(set(names)):
        raise _invalid("entries", names[:4], "unique names in order")
    return tuple(entries)


def _invalid(what: str, got: object, limit: object) -> KakuriError:
    return KakuriError("KK-F25", f"the manifest's {what} is not valid", where=NAME, got=repr(got)[:120], limit=limit)
