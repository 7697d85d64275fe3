"""A resident session on the command line, and sensors that seal their inputs to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kakuri as kk
from kakuri.cli.main import main
from kakuri.enclave.sensor_session import MAGIC, Sensor
from kakuri.errors import KakuriError

SERVE = ["run", "net.kkr", "maker.pub", "device.kkey", "eye.sock"]


def kakuri(*words: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        "import sys; from kakuri.cli.main import main; sys.exit(main(sys.argv[1:]))",
        *words,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def served(workplace: Path):
    """A session that serves in ``workplace``."""
    if not Path("/usr/include/openssl/evp.h").exists():
        pytest.skip("libssl-dev is not installed: the worker is linked with libcrypto")
    assert main(["build", "enclave", "relu.onnx", "-o", "net.kkr", "--for", "device.kkey"]) == 0
    with kakuri(*SERVE) as process:
        assert "eye.session" in process.stdout.readline()
        yield workplace
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not (workplace / "eye.sock").exists()
    assert not (workplace / "eye.session").exists()


def test_sensors_get_answers_and_nothing_else_does(served, capsys):
    capsys.readouterr()
    assert stat.S_IMODE(os.stat("eye.sock").st_mode) == 0o600
    for _ in range(2):  # one session, several sensors
        assert main(["run", "eye.session", "digit.png", "other.png", "--json"]) == 0
        got = [answer["scores"] for answer in json.loads(capsys.readouterr().out)["answers"]]
    images = np.load("images.npy")[:2]
    expected = kk.model.reference_outputs(kk.load("relu.onnx"), images)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    with socket.socket(socket.AF_UNIX) as hasty, socket.socket(socket.AF_UNIX) as wrong:
        hasty.connect("eye.sock")
        hasty.sendall(b"half a request")
        hasty.close()
        wrong.connect("eye.sock")
        wrong.sendall((5).to_bytes(8, "little") + bytes(32 + 32 + 16 + 36 * 4))
        assert wrong.recv(100) == b"KK-W13\0\0"
    assert main(SERVE) == 4
    assert "KK-F11" in capsys.readouterr().err
    assert main([*SERVE, "digit.png"]) == 2
    refuse_a_forged_key(served)
    assert main(["run", "eye.session", "digit.png"]) == 0


def refuse_a_forged_key(served: Path) -> None:
    """A sensor that seals to another key gets no answer, and the session goes on."""
    file = served / "eye.session"
    document = json.loads(file.read_bytes()[len(MAGIC) :])
    document["public_key"] = "09" + 31 * "00"
    (served / "forged.session").write_bytes(MAGIC + json.dumps(document).encode())
    (served / "forged.sock").symlink_to("eye.sock")
    sample = {"image": np.zeros((1, 1, 6, 6), np.float32)}
    with pytest.raises(KakuriError, match="refused") as caught:
        Sensor(served / "forged.session").ask(sample)
    assert (caught.value.code, caught.value.problem.got) == ("KK-W18", "'KK-W13'")
    assert Sensor(file).ask(sample)["scores"].shape == (1, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"public_key": "00"},
        {"public_key": None},
        {"entering": []},
        {"entering": [{"name": "image", "dtype": "object", "shape": [1]}]},
        {"leaving": [{"name": "s", "dtype": "float32", "shape": [1 << 20, 1 << 20]}]},
        {"leaving": [{"name": "s", "dtype": "float32", "shape": [-1, 3]}]},
        {"leaving": 7},
    ],
)
def test_damaged_session_files_are_refused(tmp_path, change):
    crossing = {"name": "image", "dtype": "float32", "shape": [1, 4]}
    document = {"public_key": "09" + 31 * "00", "entering": [crossing], "leaving": [crossing]} | change
    (tmp_path / "eye.session").write_bytes(MAGIC + json.dumps(document).encode())
    with pytest.raises(KakuriError) as caught:
        Sensor(tmp_path / "eye.session")
    assert caught.value.code == "KK-W17"


def test_a_session_file_without_a_session(tmp_path):
    crossing = {"name": "image", "dtype": "float32", "shape": [1, 4]}
    document = {"public_key": "09" + 31 * "00", "entering": [crossing], "leaving": [crossing]}
    (tmp_path / "eye.session").write_bytes(MAGIC + json.dumps(document).encode())
    with pytest.raises(KakuriError) as caught:
        Sensor(tmp_path / "eye.session").ask({"image": np.zeros((1, 4), np.float32)})
    assert caught.value.code == "KK-W18"
