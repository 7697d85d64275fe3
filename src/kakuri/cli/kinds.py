"""What a file is, from its first bytes.

Purpose: ``kakuri run`` and ``kakuri inspect`` decide by content, never by a name's ending.
Guarantees: reads at most a few bytes; a secret key file is recognised whatever it is called.
Errors: KK-F12 when the file cannot be read, KK-C10 when it is of the wrong kind.
"""

from __future__ import annotations

import enum
from pathlib import Path

from kakuri.errors import KakuriError
from kakuri.files import open_regular
from kakuri.package import is_package, open_package
from kakuri.trust.secret_magic import is_secret


class Kind(enum.Enum):
    PACKAGE = "package (.kkr)"
    SECRET = "secret key file (.kkey)"
    QUERY = "encrypted query"
    ANSWER = "encrypted answer"
    SESSION = "session that takes sealed inputs"
    OTHER = "other file"


_HEAD_BYTES = 64


def kind_of(path: Path) -> Kind:
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
    if is_secret(head):
        return Kind.SECRET
    if head[:4] == b"KKQ2":
        return Kind.QUERY
    if head[:4] == b"KKA2":
        return Kind.ANSWER
    if head.startswith(b"kakuri-session-1\n"):
        return Kind.SESSION
    return Kind.PACKAGE if is_package(path) else Kind.OTHER


def room_of(path: Path) -> str:
    """The room of a package; structure and manifest are checked, nothing else is read."""
    with open_package(path) as opened:
        return opened.room


def wrong_kind(path: Path, got: Kind, wanted: str, hint: str = "") -> KakuriError:
    return KakuriError("KK-C10", "this file cannot be used here", where=path, got=got.value, limit=wanted, hint=hint)


def refuse_secret(path: Path) -> KakuriError:
    """For every place that belongs to the server."""
    return KakuriError(
        "KK-K30",
        "a secret key was given to a command of the server",
        where=path,
        hint="the key stays with the client: `kakuri run client.kkey INPUT` encrypts there, the server gets the query",
    )
