"""Download of one published file.

Purpose: `fetch`: https, size bound, SHA-256, atomic placement, several addresses.
Guarantees: a file under its final name has the expected size and SHA-256; reading stops within 64 KiB of the expected
size; redirections stay on https.
Does not guarantee: that an address answers.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kakuri.errors import KakuriError, Problem

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

    Raises KK-D21 when no address delivers, KK-D22 when an address delivers other bytes, KK-D23 when the folder cannot
    be written; one problem per address. Nothing is left under the final name then.
    """
    problems: list[Problem] = []
    for url in file.urls:
        try:
            with opener(url, TIMEOUT_SECONDS) as body:
                problem = _place(body, file, folder, url, observe)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            problem = Problem(
                "KK-D21", "download failed", url, str(reason), hint="check the network, or bring the file"
            )
        except OSError as error:
            problem = Problem("KK-D23", "cannot write the cache", str(folder), str(error), hint="set KAKURI_CACHE")
        if problem is None:
            return folder / file.name
        problems.append(problem)
    raise KakuriError.collect(problems)


def _place(body: IO[bytes], file: RemoteFile, folder: Path, url: str, observe: Observer | None) -> Problem | None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{file.name}.{os.getpid()}.part"
    try:
        digest, done_bytes = hashlib.sha256(), 0
        with temporary.open("wb") as out:
            while done_bytes <= file.size_bytes and (chunk := body.read(_CHUNK_BYTES)):
                out.write(chunk)
                digest.update(chunk)
                done_bytes += len(chunk)
                if observe is not None:
                    observe(Download(file.name, done_bytes, file.size_bytes))
            out.flush()
            os.fsync(out.fileno())
        if done_bytes != file.size_bytes:
            return Problem("KK-D22", "downloaded size differs", url, f"{done_bytes} bytes", f"{file.size_bytes} bytes")
        if digest.hexdigest() != file.sha256:
            return Problem("KK-D22", "downloaded SHA-256 differs", url, digest.hexdigest(), file.sha256)
        temporary.replace(folder / file.name)
        return None
    finally:
        temporary.unlink(missing_ok=True)
