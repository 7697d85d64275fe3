"""``check``, ``plan`` and ``audit`` of an offloaded training, and recordings as files."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import numpy as safetensors
from torch import nn

from kakuri import offload
from kakuri.cli import exit_codes
from kakuri.cli.main import main
from kakuri.errors import KakuriError
from kakuri.offload.recording import Recording, record
from kakuri.offload.recording_file import load, save
from kakuri.offload.transport.frames import Message, Op

CODE = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn

@dataclass
class Sizes:
    hidden: int = 16

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(20, Sizes().hidden), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))

def recurrent():
    return nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4))

def sized(width):
    return nn.Linear(width, width)

made = Net()
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def recording() -> Recording:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = nn.Sequential(
        nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 20), nn.ReLU(), nn.Linear(20, 4)
    )
    batches = [(torch.randn(32, 20), torch.randint(0, 4, (32,))) for _ in range(4)]
    return record(net, batches, "2", tier="T1")


def run(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main([*line.split(), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_check_names_what_stays_in_the_master(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run("check offload net.py:Net", capsys)
    assert (code, report["problems"], report["ok"]) == (0, [], True)
    code, report = run("check offload net.py:recurrent", capsys)
    assert code == exit_codes.MODEL
    assert [(item["code"], item["node"]) for item in report["problems"]] == [("KK-O12", "1")]
    assert main(["check", "offload", "net.py:recurrent"]) == exit_codes.MODEL
    assert "LSTM" in capsys.readouterr().out


def test_plan_says_what_workers_compute(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in ("net.py:Net", "net.py:made"):
        code, plan = run(f"plan offload {source} --tier T2 --base private --workers local:3", capsys)
        assert code == 0
        assert (plan["tier"], plan["workers"], plan["layers"]) == ("T2", "local:3", {"2": [16, 8]})
    assert set(run("plan offload net.py:Net --keep 0 --keep 4", capsys)[1]["kept"]) == {"0", "4"}
    assert main(["plan", "offload", "net.py:Net"]) == 0
    shown = capsys.readouterr().out
    assert "NOT a trusted execution environment" in shown
    assert "T1" in shown


@pytest.mark.parametrize(
    ("line", "code", "status"),
    [
        ("plan offload net.py:Net --tier T9", "KK-O02", exit_codes.USAGE),
        ("plan offload net.py:Net --tier T2", "KK-O07", exit_codes.USAGE),
        ("plan offload net.py:Net --tier T2 --base public", "KK-O08", exit_codes.MODEL),
        ("plan offload net.py:Net --base elsewhere", "KK-O04", exit_codes.USAGE),
        ("plan offload net.py:Net --workers remote", "KK-O03", exit_codes.USAGE),
        ("plan offload net.py:Net --update sometimes", "KK-O04", exit_codes.USAGE),
        ("plan offload net.py", "KK-C06", exit_codes.USAGE),
        ("plan offload net.py:Nett", "KK-C06", exit_codes.USAGE),
        ("plan offload net.py:sized", "KK-C06", exit_codes.USAGE),
        ("plan offload net.py:number", "KK-O05", exit_codes.MODEL),
        ("plan offload other.py:Net", "KK-F12", exit_codes.FILE),
        ("check offload no.such.package:Net", "KK-F12", exit_codes.FILE),
        ("audit offload net.py", "KK-O40", exit_codes.FILE),
        ("audit offload nothing.recording", "KK-F12", exit_codes.FILE),
        ("audit offload net.py --attacks guessing", "KK-A06", exit_codes.USAGE),
        ("audit offload net.py -o report.txt", "KK-A07", exit_codes.USAGE),
    ],
)
def test_refusals_say_what_to_do(
    line: str, code: str, status: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, document = run(line, capsys)
    assert document["error"]["code"] == code
    assert found == status


def test_several_mistakes_in_a_plan_come_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, document = run("plan offload net.py:Net --tier T2 --workers x --keep 9 --rotate-every=-1", capsys)
    assert {item["code"] for item in document["error"]["problems"]} == {"KK-O03", "KK-O04", "KK-O07"}


def test_audit_of_a_recording(folder: Path, recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    save(recording, "run.recording")
    assert (folder / "run.recording").stat().st_mode & 0o777 == 0o600
    code, report = run("audit offload run.recording --attacks row_linking -o report.json", capsys)
    assert code == exit_codes.AUDIT  # T1 does not hide which sample comes again
    assert {item["attack"] for item in report["results"]} == {"row_linking"}
    assert json.loads((folder / "report.json").read_text())["results"] == report["results"]
    exact = run("audit offload run.recording --attacks base_model_matching", capsys)[1]
    np.save("base.npy", recording.plain_weights)
    assert run("audit offload run.recording --attacks base_model_matching --base base.npy", capsys)[1] == exact
    private = run("audit offload run.recording --attacks base_model_matching --base private", capsys)[1]
    of = {item["target"]: item["estimate"]["value"] for item in exact["results"]}
    for item in private["results"]:
        assert item["estimate"]["value"] < of[item["target"]]
    np.save("wrong.npy", recording.plain_weights[1:])
    for base, error in (("wrong.npy", "KK-D32"), ("missing.npy", "KK-C01")):
        document = run(f"audit offload run.recording --base {base}", capsys)[1]
        assert document["error"]["code"] == error


def test_a_recording_comes_back_from_its_file(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "run.recording"
    save(recording, path)
    found = load(path)
    for field in dataclasses.fields(Recording):
        assert np.array_equal(getattr(found, field.name), getattr(recording, field.name)), field.name
    with pytest.raises(KakuriError, match="KK-F11"):
        save(recording, path)
    save(found, path, overwrite=True)


def test_files_whose_parts_do_not_fit_are_refused(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "run.recording"
    save(recording, path)
    good = safetensors.load(path.read_bytes())
    nan = good["weights"].copy()
    nan[0, 0] = np.nan
    for change in (
        {"weights": good["weights"][1:]},
        {"weights": nan},
        {"weights": good["weights"].astype(np.int32)},
        {"weights": good["weights"][:, 0].copy()},
        {"activations": good["activations"][:, 1:].copy(), "plain_activations": good["activations"][:, 1:].copy()},
        {"weight_row": good["weight_row"] + 1},
        {"sample": good["sample"] - 1},
        {"sample": good["sample"][1:]},
        {"member": good["member"] + 2},
        {"member": good["member"][1:]},
        {"scores": good["scores"][:5]},
        {"scores": good["scores"] + np.nan},
        {"tier": np.frombuffer(b"T9", np.uint8)},
        {"layer": np.zeros(0, np.uint8)},
        {"more": good["sample"]},
    ):
        path.write_bytes(safetensors.save({name: np.ascontiguousarray(v) for name, v in (good | change).items()}))
        with pytest.raises(KakuriError, match="KK-O40"):
            load(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_recordings_never_crash(data: st.DataObject, recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "run.recording"
    save(recording, path, overwrite=True)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.one_of(st.integers(0, 1200), st.integers(0, len(content) - 1)))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    path.write_bytes(content[:cut])
    try:
        found = load(path)
    except KakuriError as error:
        if error.code != "KK-O40":
            raise
    else:
        assert found.weights.shape == found.plain_weights.shape


def test_an_identity_is_made_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, made = run("worker identity w.pem --name gpu-1 --days 30", capsys)
    assert (code, made["certificate"]) == (0, "w.pem.crt")
    assert (folder / "w.pem").stat().st_mode & 0o777 == 0o600
    found = x509.load_pem_x509_certificate((folder / "w.pem.crt").read_bytes())
    assert found.fingerprint(hashes.SHA256()).hex() == made["sha256"]
    assert b"PRIVATE" not in (folder / "w.pem.crt").read_bytes()
    before = (folder / "w.pem").read_bytes()
    code, refused = run("worker identity w.pem", capsys)
    assert (code, refused["error"]["code"]) == (exit_codes.FILE, "KK-F11")
    assert (folder / "w.pem").read_bytes() == before


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("worker serve 127.0.0.1:0 --identity a.pem --master b.crt", "KK-F12"),
        ("worker sell 127.0.0.1:0 --identity a.pem --master b.crt", "KK-C01"),
        ("worker serve 127.0.0.1:0", "KK-C01"),
        ("plan offload net.py:Net --workers tls://host", "KK-O03"),
        ("plan offload net.py:Net --workers tls://a:1,local", "KK-O03"),
        ("plan offload net.py:Net --workers tls://a:1,tls://a:1", "KK-O03"),
    ],
)
def test_a_worker_command_says_what_is_missing(
    line: str, code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line, capsys)[1]["error"]["code"] == code


def test_a_worker_that_the_command_started_serves_its_master(folder: Path) -> None:
    for name in ("m.pem", "w.pem"):
        assert main(["worker", "identity", name]) == 0
    arguments = ["worker", "serve", "127.0.0.1:0", "--identity", "w.pem", "--master", "m.pem.crt"]
    code = "import sys; from kakuri.cli.main import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        with offload.Pool.open(f"tls://{address}", tls=offload.TlsCredentials("m.pem", "w.pem.crt")) as pool:
            a, b = torch.randn(3, 4), torch.randn(4, 2)
            (found,) = pool.places[0].ask(Message(Op.MULTIPLY, tensors=(a, b))).tensors
            assert torch.allclose(found, a @ b)
        process.kill()
