"""What other programs of the same user can do to a loaded session, tried for real.

The worker and the intruder run as the same unprivileged user; when the tests run as root, as ``nobody``. Each way in is
first shown to work on a process without protection, so that a refusal means something.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import kakuri as kk
from kakuri.enclave.index import WRAP_LABEL
from kakuri.enclave.sealed import open_sealed
from kakuri.trust.device_key import KIND, SUITE
from kakuri.trust.secret_file import read_secret
from tests.unit.enclave import intruder
from tests.unit.enclave.privileges import NOBODY
from tests.unit.enclave.victims import ROOT, folder_of_nobody, session_of_nobody

USER = NOBODY if ROOT else None


@pytest.fixture(scope="module")
def victim(made):
    """A process of an unprivileged user that holds a loaded session; its own and the worker's process ids."""
    with folder_of_nobody(made) as folder, session_of_nobody(made, folder) as (holder, found):
        yield folder, holder, found["worker"]


def known_address(pid: int) -> int:
    """Where the worker has readable memory: root may look it up, so that the intruder need not guess."""
    if not ROOT:
        return 0x400000
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        return int(next(line for line in maps if " rw" in line).split("-")[0], 16)


def attack(way: str, pid: int, address: int) -> dict:
    command = [sys.executable, str(Path(__file__).with_name("intruder.py")), way, str(pid), str(address)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.parametrize("way", sorted(intruder.WAYS))
def test_the_worker_s_memory_stays_closed_and_an_open_process_does_not(victim, way):
    _, _, worker = victim
    assert attack(way, worker, known_address(worker)) == {"read": 0}
    with subprocess.Popen(["sleep", "60"], user=USER, group=USER, extra_groups=[] if ROOT else None) as unprotected:
        try:
            assert attack(way, unprotected.pid, 0)["read"] > 0
        finally:
            unprotected.kill()


def test_root_cannot_read_the_secret_pages_either(victim):
    """Only where the worker got memfd_secret memory: the pages are gone from every map but the worker's own."""
    if not ROOT:
        pytest.skip("shows what even root cannot read")
    _, _, worker = victim
    with open(f"/proc/{worker}/maps", encoding="ascii") as maps:
        spans = [line.split()[0] for line in maps if "secretmem" in line]
    assert spans
    for span in spans:
        first = int(span.split("-")[0], 16)
        with open(f"/proc/{worker}/mem", "rb", buffering=0) as memory, pytest.raises(OSError, match="Input/output"):
            os.pread(memory.fileno(), 64, first)


def test_the_worker_cannot_dump_core_and_is_confined(victim):
    _, _, worker = victim
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{worker}/status").read_text().splitlines())
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    limits = Path(f"/proc/{worker}/limits").read_text().splitlines()
    core = next(line for line in limits if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


def test_a_crash_leaves_no_core_and_an_open_process_does(made, monkeypatch, tmp_path):
    """Both are children that may dump: the limit that they inherit is high and they work in a folder of their own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    monkeypatch.chdir(tmp_path)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        with kk.enclave.load(made.path, made.policy) as session, subprocess.Popen(["sleep", "60"]) as unprotected:
            for pid in (unprotected.pid, session.inner.process_id):
                os.kill(pid, signal.SIGSEGV)
            dumped = [os.WCOREDUMP(os.waitpid(pid, 0)[1]) for pid in (unprotected.pid, session.inner.process_id)]
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    if hard == 0:
        pytest.skip("no process here may dump core: the comparison shows nothing")
    assert dumped == [True, False]


def test_no_pipe_and_no_other_file_leads_to_the_worker(victim):
    """It keeps the socket, the package and the key."""
    if not ROOT:
        pytest.skip("only root sees the descriptors of a process that is not dumpable")
    folder, _, worker = victim
    links = [os.readlink(link) for link in sorted(Path(f"/proc/{worker}/fd").iterdir())]
    assert links[0].startswith("socket:")
    assert links[1:] == [str(folder / "lenet.kkr"), str(folder / "device.kkey")]


def patterns(made) -> list[bytes]:
    """Runs of 32 bytes from all over the inner weights."""
    blob = made.secret_bytes
    every = range(0, len(blob) - 32, max(1, len(blob) // 64))
    return [blob[at : at + 32] for at in every if len(set(blob[at : at + 32])) > 8]


def new_files(since: float) -> Iterator[tuple[Path, bytes]]:
    """Regular files of the folders for passing data that changed since then, and what they hold."""
    for top in {tempfile.gettempdir(), "/dev/shm", "/run", "/var/tmp"}:
        for folder, _, names in os.walk(top):
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(OSError):  # other programs' files come and go
                    about = path.lstat()
                    if stat.S_ISREG(about.st_mode) and about.st_ctime >= since and about.st_size < 64 << 20:
                        yield path, path.read_bytes()


def test_no_plaintext_weight_in_files_or_in_the_parent(victim, made):
    folder, holder, _ = victim
    wanted = patterns(made)
    assert len(wanted) > 20
    own = {file: file.read_bytes() for file in folder.iterdir()}
    for file, data in [*own.items(), *new_files(folder.stat().st_ctime)]:
        assert not any(pattern in data for pattern in wanted), file
    seen = 0
    for data in intruder.readable_memory(holder):
        seen += len(data)
        assert not any(pattern in data for pattern in wanted)
    assert seen > 10 << 20
    outer = np.asarray(made.net.graph.initializers["layer0.weight"].const_value.numpy()).tobytes()[:32]
    assert any(outer in data for data in intruder.readable_memory(holder))  # the search finds what is in the open


def test_without_a_tpm_the_same_user_opens_the_package(made):
    """The honest limit: the device's key file is readable by its user, and it opens everything."""
    private = read_secret(made.key, KIND).sections["private"]
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with open_sealed(made.path, made.signer.public) as package:
        index = package.index
        key = SUITE.decrypt(
            index.wrapped_key, X25519PrivateKey.from_private_bytes(private), WRAP_LABEL + index.identity
        )
        whole = made.path.read_bytes()
        for number, (tensor, at) in enumerate(zip(index.tensors, package.positions(), strict=True)):
            ciphertext = whole[at : at + tensor.size_bytes + 16]
            opened = AESGCM(key).decrypt(number.to_bytes(12, "little"), ciphertext, index.identity + tensor.record())
            assert opened == made.secret_bytes[tensor.offset : tensor.offset + tensor.size_bytes]
