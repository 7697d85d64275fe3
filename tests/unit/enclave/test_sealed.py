"""Changed packages: refused by the signature outside, and again by the worker when the outside is left out."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import struct

import pytest

from kakuri.enclave.backends.process import _LOAD, ProcessBackend
from kakuri.enclave.index import HEAD_BYTES, RECORD_BYTES, parse_index
from kakuri.enclave.sealed import open_sealed
from kakuri.errors import KakuriError


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copy(made.path, tmp_path / "copy.kkr")


@pytest.mark.parametrize(
    "count", [500, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])], ids=str
)
def test_mutated_packages_are_refused_with_nothing_loaded(made, copy, count):
    """Every part is hit, the program's bulk least; what the Python side does not notice, the worker does."""
    random_ = random.Random(8)
    original = made.path.read_bytes()
    refused: dict[str, int] = {}
    with open_sealed(copy, made.signer.public) as package, ProcessBackend().start(package, made.policy) as session:
        start, size = package._opened.place("worker")
        small = [at for at in (range(start), range(start + size, len(original))) if len(at)]
        program = package.worker()
        with open(copy, "r+b", buffering=0) as file:
            for number in range(count):
                inside = number % 100 == 0
                at = start + random_.randrange(size) if inside else random_.choice(random_.choice(small))
                old = original[at : at + random_.choice((1, 1, 1, 2, 4, 16))]
                new = bytes(byte ^ random_.randrange(1, 256) for byte in old)
                os.pwrite(file.fileno(), new, at)
                code = "whole"
                try:
                    with open_sealed(copy, made.signer.public) as changed:
                        if inside:
                            changed.worker()
                        session.load(changed)
                        for name in ("before.onnx", "after.onnx"):  # the outer layers, read where they run
                            changed._opened.read(name)
                except KakuriError as error:
                    code = error.code
                refused[code] = refused.get(code, 0) + 1
                os.pwrite(file.fileno(), old, at)
        with open_sealed(copy, made.signer.public) as same:
            assert same.worker() == program
            with pytest.raises(KakuriError, match="no package is loaded"):
                session.attest(bytes(32))
            session.load(same)
            assert len(session.attest(bytes(32))) == 32
    assert refused.pop("whole", 0) == 0
    assert refused.get("KK-W12", 0) > count // 100  # the worker's own checks were reached


def swapped(index: bytes) -> bytes:
    """The first two records exchanged, each at the other's offset."""
    head, one, two, rest = (
        index[:HEAD_BYTES],
        index[HEAD_BYTES : HEAD_BYTES + RECORD_BYTES],
        index[HEAD_BYTES + RECORD_BYTES : HEAD_BYTES + 2 * RECORD_BYTES],
        index[HEAD_BYTES + 2 * RECORD_BYTES :],
    )
    return head + two + one + rest


CHANGES = {
    "older": lambda index: index[:24] + struct.pack("<I", 1) + index[28:],
    "renamed": lambda index: index[:HEAD_BYTES] + b"X" + index[HEAD_BYTES + 1 :],
    "other package": lambda index: index[:8] + bytes(16) + index[24:],
    "truncated": lambda index: index[:-RECORD_BYTES],
    "swapped": swapped,
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_worker_refuses_what_its_maker_did_not_sign(made, what):
    """The normal world sends a changed index straight to the worker."""
    with open_sealed(made.path, made.signer.public) as package, ProcessBackend().start(package, made.policy) as session:
        assert (
            send(session, CHANGES[what](package.index_bytes), package.index_signature, package.positions()) == "KK-W12"
        )
        with pytest.raises(KakuriError, match="no package is loaded"):
            session.attest(bytes(32))


def test_tensors_signed_for_one_place_do_not_open_in_another(made):
    """Even the maker's key cannot move a ciphertext: the associated data hold name, shape, offset, package, version."""
    from kakuri.enclave.index import INDEX_LABEL

    with open_sealed(made.path, made.signer.public) as package, ProcessBackend().start(package, made.policy) as session:
        positions = package.positions()
        exchanged = [positions[1], positions[0], *positions[2:]]
        assert send(session, package.index_bytes, package.index_signature, exchanged) == "KK-W12"
        for what in ("renamed", "other package", "older"):
            index = CHANGES[what](package.index_bytes)
            assert send(session, index, made.signer.sign(INDEX_LABEL, index), positions) == "KK-W12"
        assert send(session, package.index_bytes, package.index_signature, [2**63 - 1] * len(positions)) == "KK-W12"
        assert send(session, package.index_bytes, package.index_signature, positions) == ""


def send(session, index: bytes, signature: bytes, positions: list[int]) -> str:
    sizes = struct.pack("<IIII", len(index), len(signature), len(positions), 0)
    try:
        session._exchange(_LOAD, 0, sizes + index + signature + struct.pack(f"<{len(positions)}Q", *positions))
    except KakuriError as error:
        return error.code
    return ""


def test_lengths_that_lie_end_the_worker(made):
    for payload in (b"", struct.pack("<IIII", 2**31, 0, 0, 0), struct.pack("<IIII", 192, 200, 0, 0)):
        with open_sealed(made.path, made.signer.public) as package:
            session = ProcessBackend().start(package, made.policy)
            with session, pytest.raises(KakuriError) as caught:
                session._exchange(_LOAD, 0, payload)
            assert caught.value.code == "KK-W10"


def test_the_index_has_one_encoding(made):
    with open_sealed(made.path, made.signer.public) as package:
        data = package.index_bytes
    assert parse_index(data).to_bytes() == data
    random_ = random.Random(9)
    for _ in range(2000):
        changed = bytearray(data)
        changed[random_.randrange(len(changed))] ^= 1 << random_.randrange(8)
        with contextlib.suppress(KakuriError):
            assert parse_index(bytes(changed)).to_bytes() == changed
