"""Ray places workers; training over them is plain training, and they end with the command that placed them."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from kakuri import offload
from kakuri.errors import KakuriError
from kakuri.offload.transport import identity

from .networks import Convolutional, batches, largest_difference, train

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
RUN = "import sys; from kakuri.cli.main import main; sys.exit(main(sys.argv[1:]))"


def placing(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    files = ["--master", str(folder / "master.crt"), "--pinned", str(folder / "workers.crt")]
    command = [sys.executable, "-c", RUN, "worker", "place", *arguments, *files, "--json"]
    environment = {**os.environ, "RAY_worker_niceness": "0"}  # Ray's own choice, 15, starves on a busy machine
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def document(process: subprocess.Popen[str]) -> dict[str, str]:
    """The JSON object that the command prints before it waits."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            break
    found: dict[str, str] = json.loads(text)
    return found


def test_workers_of_a_cluster(tmp_path: Path) -> None:
    identity.create(tmp_path / "master", "master")
    tls = offload.TlsCredentials(tmp_path / "master", tmp_path / "workers.crt")
    start = Convolutional()
    module = copy.deepcopy(start)
    with placing(tmp_path, "2", "--cpus", "0.5") as process:
        workers = document(process)["workers"]
        assert len(identity.certificates(tmp_path / "workers.crt")) == 2
        plan = offload.plan(module, tier="T2", base="private", master="process", workers=workers, tls=tls)
        model, optimizer, _ = plan.build(torch.optim.SGD(module.parameters(), lr=0.1))
        train(model, optimizer, batches(3))
        train(start, torch.optim.SGD(start.parameters(), lr=0.1), batches(3))
        assert largest_difference(model, start) < 2e-5
        session = offload.session_of(model)
        assert session.counters.incidents == 0
        session.close()
        process.terminate()
    for worker in workers.split(","):
        _wait_for_the_end_of(worker, tls)


def _wait_for_the_end_of(worker: str, tls: offload.TlsCredentials) -> None:
    for _ in range(60):
        try:
            offload.Pool.open(worker, tls=tls).close()
        except KakuriError:
            return
        time.sleep(1.0)
    pytest.fail(f"{worker} outlived the command that placed it by a minute")


def test_a_missing_certificate_starts_nothing(tmp_path: Path) -> None:
    with placing(tmp_path, "1") as process:
        assert "KK-F12" in json.dumps(document(process))
    assert process.returncode != 0
    assert not (tmp_path / "workers.crt").exists()
