"""The ``process`` backend: a sandboxed worker program. A sandbox, not a TEE.

Purpose: start the worker of a sealed package, hand it the package's and the key's descriptors, and talk to it.
Guarantees: the worker gets an empty environment and five descriptors; its program is the one whose hash the signature
    covers, run from sealed memory, never from a file; this process reads neither the device key nor a plaintext weight.
    What the kernel offered is found by the worker itself and stated in ``guarantee``.
Does not guarantee: protection from root, from the kernel, or from whoever can read the device's key file.
Errors: KK-W10 the worker ended, KK-W11 it refused to start, KK-W12 it refused the package, KK-W13 it refused a request,
KK-W14 wrong boundary values.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.closing import Closing
from kakuri.enclave.backends.contract import Answer, Guarantee, Policy
from kakuri.enclave.sealed import Crossing, SealedPackage
from kakuri.errors import KakuriError
from kakuri.trust import wrapping_key
from kakuri.trust.device_key import OVERHEAD_BYTES, recipient_of
from kakuri.trust.secret_file import read_header

_HEAD = struct.Struct("<IIQ")
_REPORT = struct.Struct("<IIQ32s")
_START, _LOAD, _INVOKE, _INVOKE_SEALED, _ATTEST = range(1, 6)
_START_SECONDS, _LOAD_SECONDS, _END_SECONDS = 30.0, 600.0, 10.0
# Answers per exchange, so that neither side waits for the other with full buffers. The worker writes sample by sample,
# and the kernel charges a socket several hundred bytes for the smallest write.
_ANSWER_BYTES = 32 << 10
_ANSWER_SAMPLES = 128
SEALED_OVERHEAD_BYTES = 32 + OVERHEAD_BYTES
"""Of a sealed input: the sender's key, and what HPKE adds."""
_OTHER_BYTES = 4096  # more than any reply whose length is not known beforehand
_HIGH = 100
_MEMORY = {
    1: "memfd_secret memory",
    2: "locked memory that dumps leave out (no memfd_secret for this size)",
    3: "memory that may be swapped (allowed by the policy)",
}
_REFUSALS = {
    2: ("KK-W11", "the inner network does not fit the policy's secure memory"),
    3: ("KK-W11", "neither secret nor locked memory of this size can be had; raise RLIMIT_MEMLOCK (ulimit -l)"),
    4: ("KK-W11", "the sandbox cannot be entered on this kernel (seccomp is needed)"),
    5: ("KK-W11", "the device key file is damaged, of another kind, or protected by a passphrase"),
    6: ("KK-W12", "the index is not signed by this signer"),
    7: ("KK-W12", "the package was sealed for other code than its worker"),
    8: ("KK-W12", "the package is older than the minimum version"),
    9: ("KK-W12", "the index is damaged"),
    10: ("KK-W12", "the package is sealed to another device's key"),
    11: ("KK-W12", "a sealed tensor is damaged, moved, renamed or from another package"),
    12: ("KK-W13", "no package is loaded"),
    13: ("KK-W13", "the sealed input does not open"),
    14: ("KK-W13", "this sealed input came before"),
}
_PROTECTS = (
    "other processes of this user cannot read weights or activations (not dumpable, not traceable, no core dump)",
    "the worker cannot open files or sockets, start programs or map executable memory (seccomp)",
    "a package that is changed, moved, renamed or too old is not loaded",
)
_DOES_NOT = (
    "it is a sandbox, not a TEE: root and the kernel are trusted",
    "without a TPM or another user id, whoever runs as this user can read the device key file and open the package",
    "attest() proves nothing to another machine: no hardware signs it",
    "registers, stack and OpenSSL's working copies of keys stand in ordinary memory of the worker while it computes",
)


class ProcessBackend(Closing):
    """Every loaded package has a worker of its own; ``prepare`` starts one ahead. Close it, or use it in a ``with``."""

    name = "process"

    def __init__(self) -> None:
        self._standing: dict[tuple[object, ...], ProcessSession] = {}

    def prepare(self, package: SealedPackage, policy: Policy) -> None:
        """Start the package's sandboxed worker, without any weight, so that a later ``load`` finds it standing.

        It holds the device key in its secret memory from now on. Raises KK-W10, KK-W11.
        """
        key = (package.identity, policy)
        if key not in self._standing:
            self._standing[key] = self.start(package, policy)

    def load(self, package: SealedPackage, policy: Policy) -> ProcessSession:
        """Let a standing or a new worker open ``package``. Raises KK-W10 to KK-W12, KK-K20 to KK-K23 (key file)."""
        session = self._standing.pop((package.identity, policy), None) or self.start(package, policy)
        try:
            session.load(package)
        except BaseException:
            session.close()
            raise
        return session

    def start(self, package: SealedPackage, policy: Policy) -> ProcessSession:
        """Only the sandbox, empty; ``load`` of the session opens the package. Raises KK-W10, KK-W11."""
        if package.facts.secure_bytes > policy.secure_memory_bytes:
            raise KakuriError(
                "KK-W11",
                "the inner network does not fit the policy's secure memory",
                where=f"layers {package.facts.layers}, the largest is {package.facts.largest_layer or 'none'}",
                got=f"{package.facts.secure_bytes} bytes",
                limit=f"{policy.secure_memory_bytes} bytes",
            )
        _check_key_file(policy)
        process, ours = _spawn(package, policy)
        return ProcessSession(package, policy, process, ours)

    def close(self) -> None:
        """End the workers that stand and were not loaded."""
        for session in self._standing.values():
            session.close()
        self._standing.clear()


class ProcessSession(Closing):
    """One worker; see ``contract.Session``. Not for several threads at once."""

    def __init__(self, package: SealedPackage, policy: Policy, process: int, connection: socket.socket) -> None:
        self._facts, self._path = package.facts, package.path
        self._leaving_bytes = [item.size_bytes for item in self._facts.leaving]
        self._process, self._socket = process, connection
        try:
            self._socket.settimeout(_START_SECONDS)
            report = self._exchange(_START, 0, _policy_bytes(policy), _REPORT.size)
        except BaseException:
            self.close()
            raise
        memory, abi, secure_bytes, public_key = _REPORT.unpack(report)
        self._public_key: bytes = public_key
        network = "TCP too" if abi >= 4 else "no network rules"
        files = f"Landlock ABI {abi} denies every file, {network}" if abi else "no Landlock here; seccomp alone"
        self._guarantee = Guarantee(
            ProcessBackend.name,
            "sandbox, not a TEE",
            _MEMORY[memory],
            secure_bytes,
            True,
            abi,
            (*_PROTECTS, files),
            _DOES_NOT if memory != 3 else (*_DOES_NOT, "the pages of weights may reach the swap"),
        )

    @property
    def guarantee(self) -> Guarantee:
        return self._guarantee

    @property
    def public_key(self) -> bytes:
        return self._public_key

    @property
    def process_id(self) -> int:
        return self._process

    def load(self, package: SealedPackage) -> None:
        """Open ``package`` inside, the one that the worker was started with. Raises KK-W12."""
        index, signature, positions = package.index_bytes, package.index_signature, package.positions()
        sizes = struct.pack("<IIII", len(index), len(signature), len(positions), 0)
        self._socket.settimeout(_LOAD_SECONDS)
        self._exchange(_LOAD, 0, sizes + index + signature + struct.pack(f"<{len(positions)}Q", *positions))
        self._socket.settimeout(None)

    def invoke(self, boundary: Mapping[str, NDArray[Any]]) -> Answer:
        """Raises KK-W14 for values that do not fit, KK-W13 before ``load``."""
        arrays = [_fitting(item, boundary) for item in self._facts.entering]
        batch = len(arrays[0])
        if any(len(array) != batch for array in arrays):
            raise KakuriError(
                "KK-W14", "boundary values of different batch sizes", got=[len(array) for array in arrays]
            )
        rows = [np.ascontiguousarray(array).view(np.uint8).reshape(batch, -1) for array in arrays]
        payload = rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)
        size = sum(self._leaving_bytes)
        step = max(1, min(_ANSWER_SAMPLES, _ANSWER_BYTES // size))
        parts = []
        for at in range(0, batch, step):
            part = payload[at : at + step]
            parts.append(self._exchange(_INVOKE, len(part), part.data.cast("B"), len(part) * size))
        whole = np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), np.uint8).reshape(batch, size)
        outputs, at = {}, 0
        for item, size in zip(self._facts.leaving, self._leaving_bytes, strict=True):
            raw = np.ascontiguousarray(whole[:, at : at + size])
            outputs[item.name] = raw.view(item.dtype).reshape(batch, *item.shape[1:])
            at += size
        return Answer(outputs, self._guarantee)

    def invoke_sealed(self, counter: int, sealed: bytes) -> bytes:
        """One sample, sealed by ``enclave.protected_input``; the answer is sealed to its sender.

        counter: above every one used before in this session. Raises KK-W13, KK-W14.
        """
        wanted = SEALED_OVERHEAD_BYTES + sum(item.size_bytes for item in self._facts.entering)
        if len(sealed) != wanted or not 0 < counter < 1 << 64:
            raise KakuriError("KK-W14", "not a sealed input of this network", got=len(sealed), limit=f"{wanted} bytes")
        answer_bytes = OVERHEAD_BYTES + sum(self._leaving_bytes)
        return bytes(self._exchange(_INVOKE_SEALED, 1, struct.pack("<Q", counter) + sealed, answer_bytes))

    def attest(self, nonce: bytes) -> bytes:
        """SHA-256 over ``nonce`` (32 bytes), code, session key, package id and versions, computed inside.

        Proves nothing by itself: no hardware signs it. Raises KK-W13, KK-W14.
        """
        if len(nonce) != 32:
            raise KakuriError("KK-W14", "a nonce has 32 bytes", got=len(nonce))
        return bytes(self._exchange(_ATTEST, 0, nonce, len(nonce)))

    def close(self) -> None:
        """End the worker; it wipes its memory when the socket closes."""
        self._socket.close()
        if self._process:
            _end(self._process)
            self._process = 0

    def _exchange(self, what: int, count: int, payload: bytes | memoryview, expected_bytes: int = 0) -> bytearray:
        """Send a request and return the reply's payload. Raises KK-W10 to KK-W13.

        expected_bytes: of the payload; another length is read too, in one more call. Whatever interrupts an exchange
        ends the session: what the worker would say next belongs to no request.
        """
        try:
            head = _HEAD.pack(what, count, len(payload))
            sent = self._socket.sendmsg((head, payload))
            if sent < len(head) + len(payload):
                self._socket.sendall((head + bytes(payload))[sent:])
            reply = bytearray(_HEAD.size + expected_bytes)
            got = self._receive(reply, 0, _HEAD.size)
            status, _, size = _HEAD.unpack_from(reply)
            if size > max(expected_bytes, _OTHER_BYTES):
                raise self._ended("its reply has an impossible length")
            reply.extend(bytes(max(0, size - expected_bytes)))
            self._receive(reply, got, _HEAD.size + size)
            del reply[_HEAD.size + size :]
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise self._ended(str(error)) from None
            raise
        if status:
            code, text = _REFUSALS.get(status, ("KK-W13", "the worker refused the request"))
            raise KakuriError(code, text, where=self._path)
        del reply[: _HEAD.size]
        return reply

    def _receive(self, buffer: bytearray, start: int, least: int) -> int:
        """Fill ``buffer`` from ``start`` until at least ``least`` bytes of it are there; returns how many are."""
        with memoryview(buffer) as view:
            while start < least:
                got = self._socket.recv_into(view[start:])
                if not got:
                    raise self._ended("it closed its socket")
                start += got
        return start

    def _ended(self, got: str) -> KakuriError:
        return KakuriError("KK-W10", "the worker ended", where=self._path, got=got)


def _spawn(package: SealedPackage, policy: Policy) -> tuple[int, socket.socket]:
    """Start the package's program; returns its process id and our end of the socket."""
    ours, theirs = socket.socketpair()
    with theirs, contextlib.ExitStack() as stack:
        program = stack.enter_context(_in_memory(package.worker()))
        null = stack.enter_context(_descriptor(os.open(os.devnull, os.O_RDWR)))
        file = stack.enter_context(_descriptor(package.descriptor()))
        key = stack.enter_context(_descriptor(os.open(policy.device_key, os.O_RDONLY | os.O_NOFOLLOW)))
        socket_number = stack.enter_context(_descriptor(os.dup(theirs.fileno())))
        places = ((socket_number, 0), (null, 1), (null, 2), (file, 3), (key, 4))
        actions = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in places]
        try:
            process = os.posix_spawn(f"/proc/self/fd/{program}", ["kakuri-worker"], {}, file_actions=actions)
        except OSError as error:
            ours.close()
            raise KakuriError("KK-W11", "the worker cannot be started", got=error.strerror) from error
    return process, ours


@contextlib.contextmanager
def _descriptor(number: int) -> Iterator[int]:
    """The file behind ``number`` under a number that no target of the spawn has; both are closed at the end."""
    try:
        high = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    finally:
        os.close(number)
    try:
        yield high
    finally:
        os.close(high)


@contextlib.contextmanager
def _in_memory(program: bytes) -> Iterator[int]:
    """A program as a sealed file in memory."""
    with _descriptor(os.memfd_create("kakuri-worker", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)) as number:
        rest = memoryview(program)
        while rest:
            rest = rest[os.write(number, rest) :]
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(number, fcntl.F_ADD_SEALS, seals)
        yield number


def _end(process: int) -> None:
    """Wait for a worker whose socket is closed; one that still computes after a while is killed."""
    with contextlib.suppress(ChildProcessError, ProcessLookupError), _descriptor(os.pidfd_open(process)) as handle:
        if not select.select([handle], [], [], _END_SECONDS)[0]:
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _check_key_file(policy: Policy) -> None:
    """The header only: a key file of another kind is refused with its name. Raises KK-K20 to KK-K23."""
    if read_header(policy.device_key).kind != wrapping_key.KIND:
        recipient_of(policy.device_key)


def _policy_bytes(policy: Policy) -> bytes:
    """``struct policy`` of the worker."""
    return struct.pack(
        "<QII65s7x",
        policy.secure_memory_bytes,
        policy.minimum_version,
        int(policy.allow_swappable_memory),
        policy.signer.point,
    )


def _fitting(item: Crossing, boundary: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    array = boundary.get(item.name)
    if array is None or array.dtype != item.dtype or array.ndim != len(item.shape) or array.shape[1:] != item.shape[1:]:
        raise KakuriError(
            "KK-W14",
            "a boundary value is missing or does not fit",
            where=item.name,
            got="nothing" if array is None else f"{array.dtype} {array.shape}",
            limit=f"{item.dtype} {('B', *item.shape[1:])}",
        )
    if not len(array):
        raise KakuriError("KK-W14", "an empty batch", where=item.name)
    return array
