"""Workers on other machines: pinned certificates, framed tensors, what crosses the network, and networks that fail."""

from __future__ import annotations

import contextlib
import copy
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri import offload
from kakuri.errors import KakuriError
from kakuri.offload.core import Core
from kakuri.offload.places import RemoteWorker
from kakuri.offload.serve import serve
from kakuri.offload.transport import identity
from kakuri.offload.transport.address import Address
from kakuri.offload.transport.frames import Limits, Message, Op, pack
from kakuri.offload.transport.link import PeerLostError
from kakuri.offload.transport.stream import Stream
from kakuri.offload.transport.tls import Peers

from .conftest import Recording
from .networks import Convolutional, batches, largest_difference, train

LIMITS = Limits(tensor_bytes=1 << 16, frame_bytes=1 << 17)
SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the identities of master, worker and a stranger."""
    folder = tmp_path_factory.mktemp("names")
    for name in ("master", "worker", "stranger"):
        identity.create(folder / name, name)
    return folder


@pytest.fixture(scope="module")
def address(names: Path) -> Iterator[Address]:
    """A worker process that listens."""
    command = [sys.executable, "-m", "kakuri.offload.worker", "--listen", "127.0.0.1:0"]
    files = ["--identity", str(names / "worker"), "--master", str(names / "master.crt")]
    process = subprocess.Popen([*command, *files], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    found = Address.parse(process.stdout.readline().split()[-1])
    assert found is not None
    yield found
    process.kill()
    process.wait()


def master(names: Path) -> offload.TlsCredentials:
    return offload.TlsCredentials(names / "master", names / "worker.crt")


class Wire:
    """A network between a master and a worker: keeps the bytes, and is cut or falls silent after ``lasts`` of them."""

    def __init__(self, to: Address, lasts: int | None = None, *, silent: bool = False) -> None:
        self.seen = bytearray()
        self._to, self._lasts, self._silent = to, lasts, silent
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._door.getsockname()[1])
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        near, _ = self._door.accept()
        far = socket.create_connection((self._to.host, self._to.port))
        self._ends = [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.seen += data
                if self._lasts is not None and len(self.seen) > self._lasts:
                    if self._silent:
                        continue
                    break
                sink.sendall(data)
        self.cut()

    def cut(self) -> None:
        for end in (*self._ends, self._door):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def trained(start: Convolutional, places: list[Any], tier: str) -> tuple[Convolutional, list[str]]:
    module = copy.deepcopy(start)
    plan = offload.plan(module, tier=tier, base="private", master="process", workers=offload.Pool(places))
    model, optimizer, _ = plan.build(torch.optim.SGD(module.parameters(), **SGD))
    train(model, optimizer, batches(4))
    result = copy.deepcopy(start)
    result.load_state_dict(model.state_dict())
    session = offload.session_of(model)
    session.close()
    return result, [str(entry.details["reason"]) for entry in session.log.entries if entry.event == "incident"]


def undisturbed(start: Convolutional) -> Convolutional:
    plain = copy.deepcopy(start)
    train(plain, torch.optim.SGD(plain.parameters(), **SGD), batches(4))
    return plain


@pytest.mark.parametrize("tier", ["T1", "T2"])
def test_training_over_tls_is_plain_training(tier: str, names: Path, address: Address) -> None:
    start = Convolutional()
    module = copy.deepcopy(start)
    plan = offload.plan(
        module, tier=tier, base="private", master="process", workers=f"tls://{address}", tls=master(names)
    )
    model, optimizer, _ = plan.build(torch.optim.SGD(module.parameters(), **SGD))
    train(model, optimizer, batches(4))
    assert largest_difference(model, undisturbed(start)) < 2e-5
    assert offload.session_of(model).counters.incidents == 0
    offload.session_of(model).close()


def test_the_network_shows_neither_plain_nor_blinded_values(names: Path, address: Address) -> None:
    wire, recording = Wire(address), Recording()
    peers = Peers(names / "master", names / "worker.crt", server=False)
    place = RemoteWorker.connect(wire.address, peers, observer=recording)
    _, incidents = trained(Convolutional(), [place], "T1")
    place.close()
    assert not incidents
    crossed = sum(tensor.nbytes for _, tensor in recording.tensors)
    assert len(wire.seen) > crossed > 10_000
    for _, tensor in recording.tensors:
        assert tensor.numel() < 4 or tensor.numpy().tobytes()[:16] not in wire.seen
    assert b"KKW1" not in wire.seen


def test_every_byte_that_a_remote_worker_receives() -> None:
    """The worker's own end of the connection, after decryption: nothing that stands in the clear in the master."""
    near, far = socket.socketpair()
    recording = Recording()
    worker = Stream(far, observer=recording)
    thread = threading.Thread(target=serve, args=(worker, Core("cpu", worker.room)))
    thread.start()
    place = RemoteWorker("recorded", Stream(near))
    start = Convolutional()
    result, _ = trained(start, [place], "T2")
    place.close()
    thread.join()
    received = [tensor for direction, tensor in recording.tensors if direction == "received"]
    everything = b"".join(frame for direction, frame in recording.frames if direction == "received")
    everything += b"".join(tensor.numpy().tobytes() for tensor in received)
    assert len(received) > 8
    for net in (start, result):
        for name, value in net.state_dict().items():
            if value.dim() > 1:
                assert not any(row.numpy().tobytes() in everything for row in value.reshape(len(value), -1)), name
    for x, labels in batches(4):
        assert labels.numpy().tobytes() not in everything
        assert not any(row.numpy().tobytes() in everything for row in x.reshape(-1, 8))


@pytest.mark.parametrize("silent", [False, True], ids=["cut", "silent"])
@pytest.mark.parametrize("tier", ["T1", "T2"])
def test_a_network_may_fail_at_any_moment(tier: str, silent: bool, names: Path, address: Address) -> None:
    start = Convolutional()
    expected = undisturbed(start)
    peers = Peers(names / "master", names / "worker.crt", server=False)
    whole = Wire(address)
    place = RemoteWorker.connect(whole.address, peers)
    _, incidents = trained(start, [place], tier)
    place.close()
    assert not incidents
    for share in (0.3,) if silent else (0.15, 0.5, 0.9):
        wire = Wire(address, int(share * len(whole.seen)), silent=silent)
        place = RemoteWorker.connect(wire.address, peers, timeout_seconds=3.0 if silent else 600.0)
        made, incidents = trained(start, [place], tier)
        place.close()
        wire.cut()
        assert len(incidents) == 1
        assert largest_difference(made, expected) < 2e-5


def test_strangers_on_either_side_are_turned_away(names: Path, address: Address) -> None:
    credentials = [
        (offload.TlsCredentials(names / "master", names / "stranger.crt"), "KK-O24"),
        (offload.TlsCredentials(names / "stranger", names / "worker.crt"), "KK-O21"),
    ]
    for tls, code in credentials:
        with pytest.raises(KakuriError) as raised:
            offload.Pool.open(f"tls://{address}", tls=tls)
        assert raised.value.code == code
    with socket.create_connection((address.host, address.port)) as unencrypted:
        unencrypted.sendall(pack(Message(Op.DROP, (0,)), ()))
        with contextlib.suppress(ConnectionError):
            while unencrypted.recv(100):
                pass
    with offload.Pool.open(f"tls://{address}", tls=master(names)) as pool:  # it still serves its master
        assert pool.places[0].ask(Message(Op.DROP, (7,))).op is Op.DONE


def test_an_older_protocol_is_refused(names: Path, address: Address) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(names / "master")
    with (
        socket.create_connection((address.host, address.port)) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(connection)


def test_all_unreachable_workers_are_named_at_once(names: Path, address: Address) -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = [first.getsockname()[1], second.getsockname()[1]]
    text = ",".join(f"tls://127.0.0.1:{port}" for port in (ports[0], address.port, ports[1]))
    with pytest.raises(KakuriError) as raised:
        offload.Pool.open(text, tls=master(names))
    assert [problem.where for problem in raised.value.problems] == [f"127.0.0.1:{port}" for port in ports]
    with pytest.raises(KakuriError, match="KK-O03"):
        offload.Pool.open(text)


def test_identities_are_private_and_refused_when_they_are_none(names: Path, tmp_path: Path) -> None:
    assert os.stat(names / "master").st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in (names / "master.crt").read_bytes()
    with pytest.raises(KakuriError, match="KK-F11"):
        identity.create(names / "master", "again")
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("no certificate")
    for own, pinned, code in (
        (nothing, names / "worker.crt", "KK-O23"),
        (names / "worker.crt", names / "worker.crt", "KK-O23"),  # a certificate without its key
        (names / "master", nothing, "KK-O23"),
        (names / "master", tmp_path / "absent", "KK-F12"),
    ):
        with pytest.raises(KakuriError) as raised:
            Peers(own, pinned, server=False)
        assert raised.value.code == code
    for name in ("", "x" * 65, "a\nb"):
        with pytest.raises(KakuriError, match="KK-O23"):
            identity.create(tmp_path / "new", name)


def received(data: bytes) -> Message | None:
    """What a stream makes of ``data`` and an end; None when it refuses it as it should."""
    near, far = socket.socketpair()
    with near, far:
        near.sendall(data)
        near.shutdown(socket.SHUT_WR)
        try:
            return Stream(far, limits=LIMITS, timeout_seconds=60.0).receive()
        except KakuriError as error:
            if error.code in {"KK-O20", "KK-O21"}:
                return None
            raise


def sent(message: Message) -> bytes:
    near, far = socket.socketpair()
    with near, far:
        Stream(near).send(message)
        near.close()
        return b"".join(iter(lambda: far.recv(1 << 16), b""))


shapes = st.lists(st.integers(0, 6), max_size=4)
tensors = st.builds(
    lambda shape, dtype: torch.arange(1, 1 + torch.Size(shape).numel()).to(dtype).view(shape),
    shapes,
    st.sampled_from([torch.float32, torch.float64]),
)
messages = st.builds(
    Message,
    st.sampled_from([op for op in Op if op is not Op.ARENA]),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5).map(tuple),
    st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
    st.lists(tensors, max_size=3).map(tuple),
)


@settings(deadline=None, max_examples=60)
@given(messages)
def test_what_is_sent_arrives(message: Message) -> None:
    got = received(sent(message))
    assert got is not None
    assert (got.op, got.integers, got.floats) == (message.op, message.integers, message.floats)
    assert len(got.tensors) == len(message.tensors)
    assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(got.tensors, message.tensors, strict=True))


@settings(deadline=None, max_examples=300)
@given(messages, st.data())
def test_damaged_streams_are_refused_or_stay_within_limits(message: Message, data: st.DataObject) -> None:
    stream = bytearray(sent(message))
    for _ in range(data.draw(st.integers(0, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    got = received(bytes(stream[: data.draw(st.integers(0, len(stream)))]))
    assert got is None or sum(tensor.nbytes for tensor in got.tensors) <= LIMITS.frame_bytes


def test_what_is_too_large_or_has_gaps_is_refused_before_it_is_read() -> None:
    values = torch.zeros(4)
    for frame, words in (
        (pack(Message(Op.FORWARD, tensors=(torch.empty(1 << 15),)), (0,)), "bytes of a tensor"),
        (pack(Message(Op.FORWARD, tensors=(torch.empty(1 << 14),) * 3), (0, 1 << 16, 1 << 17)), "all tensors"),
        (pack(Message(Op.FORWARD, tensors=(values, values)), (0, 64)), "places"),
        (pack(Message(Op.ARENA), ()), "operation"),
    ):
        near, far = socket.socketpair()
        with near, far:
            near.sendall(frame)
            with pytest.raises(KakuriError, match=f"KK-O20.*{words}"):
                Stream(far, limits=LIMITS).receive()


def test_a_peer_that_drips_runs_out_of_time() -> None:
    near, far = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            for byte in pack(Message(Op.DONE, (1,) * 200), ()):
                near.send(bytes([byte]))
                if stop.wait(0.02):
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    with pytest.raises(PeerLostError):
        Stream(far, timeout_seconds=0.5).receive()
    stop.set()
    thread.join()
    for end in (near, far):
        end.close()


def test_addresses() -> None:
    for text, host, port in (
        ("tls://10.0.0.5:7443", "10.0.0.5", 7443),
        ("gpu-1.example:1", "gpu-1.example", 1),
        ("tls://[::1]:443", "::1", 443),
    ):
        found = Address.parse(text)
        assert found == Address(host, port)
        assert Address.parse(str(found)) == found
    for text in ("", "tls://", "host", "host:", ":1", "host:65536", "http://host:1", "a b:1", "[::1]", "host:1/x"):
        assert Address.parse(text) is None


def test_another_protocol_is_refused_by_its_first_bytes() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(KakuriError, match="magic"):
            Stream(far).receive()
