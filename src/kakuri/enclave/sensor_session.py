"""A resident session that answers sealed inputs on a local socket, and a sensor's side of it.

Purpose: ``SensorService(session, "sensor.sock")`` in the normal world; ``Sensor("sensor.session")`` in the process that
owns the camera or the microphone.
Guarantees: the service carries sealed inputs and sealed answers and can open neither; lengths are fixed, a client that
stalls is cut off; errors cross as a code alone.
Does not guarantee: that ``sensor.session``, which holds the session's public key, is genuine. Whoever replaces it where
the sensor reads it gets the inputs: give it to the sensor over a channel of your own. Availability: clients wait for
each other.
Source: S0, section 2 (peripherals whose data enter the TEE); sealing is ``protected_input``'s.
Errors: KK-W16 outer layers, KK-W17 not a session file, KK-W18 no answer, KK-F10, KK-F11.

The exchange, in bytes
- request: counter u64, sealed input; reply: an error's code padded with zeros to 8, or 8 zeros and the sealed answer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri import strict_json
from kakuri.closing import Closing
from kakuri.enclave.backends.process import SEALED_OVERHEAD_BYTES
from kakuri.enclave.protected_input import Sender
from kakuri.enclave.sealed import Crossing
from kakuri.enclave.session import EnclaveSession
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.strict_json import Json
from kakuri.trust.device_key import OVERHEAD_BYTES

MAGIC = b"kakuri-session-1\n"
_CODE_BYTES = 8
_SECONDS = 10.0
_MAX_FILE_BYTES, _MAX_SAMPLE_BYTES = 1 << 20, 1 << 28
_DTYPES = {"float32", "int32", "int64"}


class SensorService(Closing):
    """The normal world's end. ``path``: of the socket; the file for sensors has the same name and ``.session``."""

    def __init__(self, session: EnclaveSession, path: Path) -> None:
        """Raises KK-W16, KK-F10, KK-F11."""
        if not session.all_inside:
            hint = "build the package with every layer inside"
            raise KakuriError("KK-W16", "outer layers would see the input", where=session.package.path, hint=hint)
        self._session, self._path, self.file = session, path, path.with_suffix(".session")
        facts = session.package.facts
        self._request_bytes = 8 + SEALED_OVERHEAD_BYTES + sum(item.size_bytes for item in facts.entering)
        self._socket = _listening(path)
        document: dict[str, Json] = {
            "public_key": session.inner.public_key.hex(),
            "entering": [item.to_json() for item in facts.entering],
            "leaving": [item.to_json() for item in facts.leaving],
        }
        try:
            with atomic_write(self.file) as file:
                file.write(MAGIC + strict_json.encode(document))
        except KakuriError:
            self.close()
            raise

    def serve(self) -> None:
        """One client after the other, until interrupted or until the worker ends (KK-W10)."""
        while True:
            client, _ = self._socket.accept()
            with client, contextlib.suppress(OSError):
                while (request := _receive(client, self._request_bytes)) is not None:
                    client.settimeout(_SECONDS)
                    client.sendall(self._answer(request))

    def _answer(self, request: bytes) -> bytes:
        try:
            sealed = self._session.inner.invoke_sealed(struct.unpack_from("<Q", request)[0], request[8:])
        except KakuriError as error:
            if error.code == "KK-W10":
                raise
            return error.code.encode().ljust(_CODE_BYTES, b"\0")
        return bytes(_CODE_BYTES) + sealed

    def close(self) -> None:
        self._socket.close()
        for path in (self._path, self.file):
            path.unlink(missing_ok=True)


class Sensor:
    """The sensor's end: seals, sends, opens. ``file``: the service's ``.session`` file, its socket beside it."""

    def __init__(self, file: Path) -> None:
        """Raises KK-W17."""
        key, self.entering, self.leaving = _session_file(file)
        self._file, self._counter = file, 0
        self._sender = Sender(key, self.entering, self.leaving)

    def ask(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """inputs: every entering value by name, (B, ...); one exchange per sample. Raises KK-W15, KK-W18."""
        count = len(inputs[self.entering[0].name])
        samples = [{name: values[at : at + 1] for name, values in inputs.items()} for at in range(count)]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_SECONDS)
            try:
                connection.connect(str(self._file.with_suffix(".sock")))
                rows = [self._exchange(connection, sample) for sample in samples]
            except OSError as error:
                got = error.strerror or str(error)
                raise KakuriError("KK-W18", "no session answers here", where=self._file, got=got) from None
        return {item.name: np.concatenate([row[item.name] for row in rows]) for item in self.leaving}

    def _exchange(self, connection: socket.socket, sample: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # Time makes counters rise across the sensors of one session; two samples never share one.
        self._counter = max(self._counter + 1, time.time_ns())
        connection.sendall(struct.pack("<Q", self._counter) + self._sender.seal(self._counter, sample))
        code = _receive(connection, _CODE_BYTES)
        if code != bytes(_CODE_BYTES):
            got = "nothing" if code is None else ascii(code.rstrip(b"\0").decode("latin1"))
            raise KakuriError("KK-W18", "the session refused the input", where=self._file, got=got)
        answer = _receive(connection, OVERHEAD_BYTES + sum(item.size_bytes for item in self.leaving))
        return self._sender.open(self._counter, answer or b"")


def _listening(path: Path) -> socket.socket:
    """A socket that only its owner may connect to. Raises KK-F10, KK-F11."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(made.fileno(), 0o600)  # Linux gives the name in the file system the socket's own mode
        made.bind(str(path))
        made.listen()
    except OSError as error:
        made.close()
        if os.path.lexists(path):
            hint = "remove it when no session serves there"
            raise KakuriError("KK-F11", "file exists and is not replaced", where=path, hint=hint) from None
        raise KakuriError("KK-F10", f"cannot make the socket: {error.strerror or error}", where=path) from None
    return made


def _receive(connection: socket.socket, size_bytes: int) -> bytes | None:
    """Exactly ``size_bytes`` within the time allowed, or None when the other side has ended."""
    until = time.monotonic() + _SECONDS
    parts = bytearray()
    while len(parts) < size_bytes:
        connection.settimeout(max(0.001, until - time.monotonic()))
        part = connection.recv(size_bytes - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _session_file(path: Path) -> tuple[bytes, tuple[Crossing, ...], tuple[Crossing, ...]]:
    """Public key, entering and leaving values. Raises KK-W17."""
    content = read_bounded(path, limit_bytes=_MAX_FILE_BYTES)
    if not content.startswith(MAGIC):
        raise KakuriError("KK-W17", "not a session file", where=path)
    document: dict[str, Any] = strict_json.decode(content[len(MAGIC) :], "KK-W17", str(path))
    try:
        key = bytes.fromhex(document["public_key"])
        entering, leaving = (tuple(map(Crossing.from_json, document[name])) for name in ("entering", "leaving"))
    except (KeyError, TypeError, ValueError) as error:
        raise KakuriError("KK-W17", "the session file is damaged", where=path, got=type(error).__name__) from None
    every = (*entering, *leaving)
    if len(key) != 32 or not entering or not leaving or not all(_plausible(item) for item in every):
        raise KakuriError("KK-W17", "the session file is damaged", where=path, got="key or boundary")
    return key, entering, leaving


def _plausible(item: Crossing) -> bool:
    return (
        item.dtype in _DTYPES
        and 1 <= len(item.shape) <= 8
        and all(0 < size <= _MAX_SAMPLE_BYTES for size in item.shape)
        and item.size_bytes <= _MAX_SAMPLE_BYTES
    )
