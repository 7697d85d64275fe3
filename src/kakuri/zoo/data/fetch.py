"""Download of one published file.

Purpose: `fetch`: https, size bound, SHA-256, atomic placement, several addresses.
Guarantees: a file under its final name has the expected size and SHA-256; reading stops within 64 KiB of the expected
size; redirections stay on https.
Does not guarantee: that an address answers.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kakuri.errors import KakuriError, Problem
from kakuri.files import atomic_write

TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """urls: tried in order; size_bytes and sha256: of the file, exactly."""

    name: str
    urls: tuple[str, ...]
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Download:
    """Progress of one file."""

    name: str
    done_bytes: int
    size_bytes: int


Observer = Callable[[Download], None]
Opener = Callable[[str, float], IO[bytes]]


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - the signature of the standard library
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"redirected away from https: {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_https(url: str, timeout_seconds: float) -> IO[bytes]:
    """The body of ``url`` as a stream. Raises OSError (URLError is one) when it does not answer."""
    if not url.startswith("https://"):
        raise urllib.error.URLError(f"not an https address: {url}")
    response: IO[bytes] = urllib.request.build_opener(_HttpsOnly).open(url, timeout=timeout_seconds)
    return response


def fetch(file: RemoteFile, folder: Path, observe: Observer | None = None, opener: Opener = open_https) -> Path:
    """Download ``file`` into ``folder``; returns its path.

    Raises KK-D21 when no address delivers, KK-D22 when an address delivers other bytes, KK-D23 and KK-F10 when the
    folder cannot be made or written; one problem per address. Nothing is left under the final name then.
    """
    problems: list[Problem] = []
    _make(folder)
    for url in file.urls:
        try:
            with opener(url, TIMEOUT_SECONDS) as body:
                _place(body, file, folder, url, observe)
        except KakuriError as error:
            problems.extend(error.problems)
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", None) or error)
            hint = "check the network, or bring the file"
            problems.append(Problem("KK-D21", "download failed", url, reason, hint=hint))
        else:
            return folder / file.name
    raise KakuriError.collect(problems)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "set KAKURI_CACHE to a folder that can be written"
        raise KakuriError("KK-D23", "cannot make the cache", where=folder, got=error.strerror, hint=hint) from error


def _place(body: IO[bytes], file: RemoteFile, folder: Path, url: str, observe: Observer | None) -> None:
    """Copies the body to its final name; an exception inside the block leaves nothing there."""
    with atomic_write(folder / file.name) as out:
        digest, done_bytes = hashlib.sha256(), 0
        while done_bytes <= file.size_bytes and (chunk := body.read(_CHUNK_BYTES)):
            out.write(chunk)
            digest.update(chunk)
            done_bytes += len(chunk)
            if observe is not None:
                observe(Download(file.name, done_bytes, file.size_bytes))
        if done_bytes != file.size_bytes:
            size = f"{file.size_bytes} bytes"
            raise KakuriError("KK-D22", "downloaded size differs", where=url, got=f"{done_bytes} bytes", limit=size)
        found = digest.hexdigest()
        if found != file.sha256:
            raise KakuriError("KK-D22", "downloaded SHA-256 differs", where=url, got=found, limit=file.sha256)
