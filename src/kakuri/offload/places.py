"""Where blinded products are computed: workers, here or on other machines, and at last the master itself.

Purpose: one interface to ask a ``Core`` somewhere, and the pool of all places.
Guarantees: a worker process starts with an environment of its own (no variable of the master's but those that find the
interpreter's libraries) and one socket; it is gone when the pool is closed.
Does not guarantee: that a worker computes rightly or at all; whoever asks checks the answer.
Errors: KK-O21 the worker is gone, KK-O22 it refused, KK-O03 not a description of workers, KK-O23 and KK-O24 from
``transport.tls``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from kakuri.closing import Closing
from kakuri.errors import KakuriError, Problem
from kakuri.offload.core import REFUSALS, Core
from kakuri.offload.descriptions import described
from kakuri.offload.transport.address import Address
from kakuri.offload.transport.channel import Channel
from kakuri.offload.transport.frames import Message, Op
from kakuri.offload.transport.identity import TlsCredentials
from kakuri.offload.transport.link import Link, Observer, PeerLostError
from kakuri.offload.transport.stream import Stream
from kakuri.offload.transport.tls import HANDSHAKE_SECONDS, Peers

TIMEOUT_SECONDS = 600.0
_INHERITED = ("PATH", "HOME", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CUDA_VISIBLE_DEVICES", "TMPDIR")


def nothing() -> None:
    """Nothing to do meanwhile."""


class Place(Protocol):
    """Somebody who answers messages. trusted: whether it is the master itself. quarantined: is asked no longer."""

    name: str
    quarantined: bool

    @property
    def trusted(self) -> bool: ...
    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Where the first tensor of the next message may be written, to be sent without a copy. An untrusted place
        may look at it at any time."""

    def ask(self, message: Message, meanwhile: Callable[[], None] = nothing) -> Message:
        """The answer. meanwhile: what the master does while the place is at work."""

    def close(self) -> None: ...


class MasterPlace:
    """The master's own core: the last resort, and the unprotected-speed baseline of ``master-only``."""

    trusted = True

    def __init__(self) -> None:
        self.name = "master"
        self.quarantined = False
        self._core = Core()

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    def ask(self, message: Message, meanwhile: Callable[[], None] = nothing) -> Message:
        meanwhile()
        return _accepted(self.name, self._core.handle(message))

    def close(self) -> None:
        self._core = Core()


class WorkerProcess:
    """A process of this machine with one device."""

    trusted = False

    def __init__(
        self,
        name: str,
        *,
        device: str = "cpu",
        threads: int = 1,
        observer: Observer | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.name = name
        self.quarantined = False
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "kakuri.offload.worker", "--socket", str(theirs.fileno())]
        environment = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        with theirs:
            self.process = subprocess.Popen(
                [*command, "--device", device, "--threads", str(threads)],
                pass_fds=(theirs.fileno(),),
                env={**environment, "OMP_NUM_THREADS": str(threads)},
                stdin=subprocess.DEVNULL,
            )
        self._channel = Channel(ours, timeout_seconds=timeout_seconds, observer=observer)

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return self._channel.room(shape, dtype)

    def ask(self, message: Message, meanwhile: Callable[[], None] = nothing) -> Message:
        return _exchange(self._channel, self.name, message, meanwhile)

    def cpu_seconds(self) -> float:
        """Processor time that the worker took so far, in steps of the system's clock (10 ms on Linux); zero where the
        system does not say."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        with contextlib.suppress(PeerLostError):
            self._channel.send(Message(Op.CLOSE))
        self._channel.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class RemoteWorker:
    """A worker on another machine, over TLS."""

    trusted = False

    def __init__(self, name: str, link: Stream) -> None:
        self.name = name
        self.quarantined = False
        self._link = link

    @classmethod
    def connect(
        cls,
        address: Address,
        peers: Peers,
        *,
        observer: Observer | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> RemoteWorker:
        """Raises KK-O21 when nobody answers, or the worker does not know this master, and KK-O24 for a stranger."""
        try:
            connection = socket.create_connection((address.host, address.port), timeout=HANDSHAKE_SECONDS)
        except OSError as error:
            raise KakuriError("KK-O21", "no worker answers", where=address, got=error) from None
        link = Stream(peers.wrap(connection, str(address)), timeout_seconds=timeout_seconds, observer=observer)
        worker = cls(str(address), link)
        try:
            worker.ask(Message(Op.DROP, (0,)))  # the worker's refusal of this master shows in the first answer only
        except PeerLostError as error:
            link.close()
            hint = "start the worker with this master's certificate"
            got = error.problem.got
            raise KakuriError("KK-O21", "the worker closed the connection", where=address, got=got, hint=hint) from None
        return worker

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return self._link.room(shape, dtype)

    def ask(self, message: Message, meanwhile: Callable[[], None] = nothing) -> Message:
        return _exchange(self._link, self.name, message, meanwhile)

    def close(self) -> None:
        with contextlib.suppress(PeerLostError):
            self._link.send(Message(Op.CLOSE))
        self._link.close()


class Pool(Closing):
    """Every place of a session; a context manager. Layer numbers are unique within it."""

    def __init__(self, places: list[Place]) -> None:
        self.places = places
        self.master = MasterPlace()
        self._numbers = 0

    @classmethod
    def open(
        cls,
        workers: str,
        *,
        threads: int = 1,
        observer: Observer | None = None,
        tls: TlsCredentials | None = None,
    ) -> Pool:
        """workers: ``local``, ``local:K`` or ``tls://HOST:PORT,...``. A local one takes the next CUDA device, or a CPU
        share of ``threads`` threads. tls: who this master is, and which certificates workers may have.

        Raises KK-O03, and all workers that cannot be reached at once (KK-O21, KK-O24).
        """
        found = described(workers)
        if found.remote:
            return cls(_connected(found.remote, tls, observer))
        devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        places: list[Place] = [
            WorkerProcess(
                f"local-{index}",
                device=f"cuda:{index % devices}" if devices else "cpu",
                threads=threads,
                observer=observer,
            )
            for index in range(found.local)
        ]
        return cls(places)

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def choose(self, number: int) -> Place:
        """The place for layer ``number``: workers in turn, without the quarantined ones; the master when none is
        left."""
        usable = [place for place in self.places if not place.quarantined]
        return usable[number % len(usable)] if usable else self.master

    def four(self, number: int) -> list[Place] | None:
        """Four different workers for layer ``number``; None when there are no longer so many."""
        usable = [place for place in self.places if not place.quarantined]
        return [usable[(number + index) % len(usable)] for index in range(4)] if len(usable) >= 4 else None

    def close(self) -> None:
        for place in (*self.places, self.master):
            place.close()


def _connected(addresses: tuple[Address, ...], tls: TlsCredentials | None, observer: Observer | None) -> list[Place]:
    if tls is None:
        hint = 'tls=TlsCredentials("master.pem", "workers.crt")'
        raise KakuriError("KK-O03", "workers on other machines need a TLS identity and pins", hint=hint)
    peers = Peers(tls.identity, tls.pinned, server=False)
    places: list[Place] = []
    problems: list[Problem] = []
    for address in addresses:
        try:
            places.append(RemoteWorker.connect(address, peers, observer=observer))
        except KakuriError as error:
            problems += error.problems
    if problems:
        for place in places:
            place.close()
        raise KakuriError.collect(problems)
    return places


def _exchange(link: Link, name: str, message: Message, meanwhile: Callable[[], None]) -> Message:
    link.send(message)
    try:
        meanwhile()
    finally:  # an answer that is not fetched would answer the next question
        answer = link.receive()
    return _accepted(name, answer)


def _accepted(name: str, answer: Message) -> Message:
    if answer.op is Op.DONE:
        return answer
    number = answer.integers[0] if answer.integers else 0
    raise KakuriError("KK-O22", f"a worker refused: {REFUSALS.get(number, 'no known reason')}", where=name)
