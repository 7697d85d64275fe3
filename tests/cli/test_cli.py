"""What sessions cannot show: JSON, exit codes, passphrases, hostile input, an audit end to end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kakuri
from kakuri import model
from kakuri.cli import exit_codes
from kakuri.cli.inputs import read_npy, read_samples
from kakuri.cli.main import main
from kakuri.cli.output import finite, printable
from kakuri.errors import KakuriError

BUILD = "build encrypted tiny.onnx -o net.kkr --keys client.kkey --calibration images.npy --threads 1"


def run(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main([*line.split(), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_json_of_the_whole_deployment(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run("check encrypted tiny.onnx", capsys)
    assert (code, report["ok"], report["problems"]) == (0, True, [])
    code, plan = run("plan encrypted tiny.onnx --calibration images.npy", capsys)
    assert plan["security_bits"] == 128
    code, built = run(BUILD, capsys)
    assert code == 0
    assert built["plan"]["ring_dimension"] == plan["ring_dimension"]
    assert built["package_bytes"] == (workplace / "net.kkr").stat().st_size
    assert run("run client.kkey images.npy -o queries", capsys)[1]["samples"] == 40
    queries = " ".join(f"queries/{index:04d}.kkq" for index in range(1, 6))
    assert run(f"run net.kkr {queries} -o answers --threads 1", capsys)[0] == 0
    answers = " ".join(f"answers/{index:04d}.kka" for index in range(1, 6))
    code, decrypted = run(f"run client.kkey {answers}", capsys)
    expected = model.reference_outputs(model.load(workplace / "tiny.onnx"), np.load("images.npy")[:5])
    got = np.array([answer["scores"] for answer in decrypted["answers"]])
    assert np.abs(got - expected.reshape(5, 3)).max() < 2.0 ** -plan["precision_bits"]
    assert [answer["index"] for answer in decrypted["answers"]] == expected.reshape(5, 3).argmax(axis=1).tolist()
    assert run("inspect client.kkey", capsys)[1]["exposed"] is False


def test_json_errors_stand_on_stdout_with_their_exit_code(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line, code in (
        ("plan encrypted missing.onnx", "KK-F12"),
        ("plan nothing tiny.onnx", "KK-C02"),
        ("frobnicate", "KK-C01"),
        ("inspect digit.png", "KK-C10"),
        ("check encrypted digit.png", "KK-M02"),
    ):
        status, document = run(line, capsys)
        assert document["error"]["code"] == code
        assert document["error"]["exit_code"] == status == exit_codes.exit_code(code)
        assert document["error"]["problems"][0]["what"]


def test_check_lists_every_problem_and_fails(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run("check encrypted relu.onnx", capsys)
    assert code == exit_codes.MODEL
    assert [(item["node"], item["severity"]) for item in report["problems"]] == [("act1", "replaceable")]


def test_a_passphrase_protects_and_is_asked_for(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(f"{BUILD} --passphrase", capsys)[1]["error"]["code"] == "KK-K24"
    assert not (workplace / "net.kkr").exists()
    monkeypatch.setenv("KAKURI_PASSPHRASE", "correct horse")
    assert run(f"{BUILD} --passphrase", capsys)[1]["protected"] is True
    assert run("run client.kkey digit.png -o q", capsys)[0] == 0
    assert run("inspect client.kkey", capsys)[1]["protected"] is True
    monkeypatch.setenv("KAKURI_PASSPHRASE", "wrong")
    assert run("run client.kkey digit.png -o q2", capsys)[1]["error"]["code"] == "KK-K25"
    monkeypatch.delenv("KAKURI_PASSPHRASE")
    assert run("run client.kkey digit.png -o q2", capsys)[1]["error"]["code"] == "KK-K24"
    assert not (workplace / "q2").exists()


def test_a_build_that_fails_late_leaves_neither_file(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(item.name for item in workplace.iterdir())
    code, document = run(BUILD.replace("client.kkey", "no/such/folder.kkey"), capsys)
    assert document["error"]["code"] == "KK-F10"
    assert code == exit_codes.FILE
    assert sorted(item.name for item in workplace.iterdir()) == before


def test_an_audit_of_a_package_end_to_end(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(BUILD, capsys)[0] == 0
    line = "audit net.kkr --inputs images.npy --labels labels.npy --attacks pixels_from_bytes --threads 1"
    code, report = run(f"{line} -o audit.html", capsys)
    seen = {(result["target"].rsplit(" ", 1)[1], result["view"]): result for result in report["results"]}
    assert set(seen) == {("queries", "query"), ("answers", "answer"), ("answers", "seconds")}
    for result in seen.values():
        if result["view"] != "seconds":  # a busy machine may well make times depend on anything
            assert result["verdict"] == "at chance", result["text"]
    assert code == (0 if report["ok"] else exit_codes.AUDIT)
    assert (workplace / "audit.html").read_text().startswith("<!doctype html>")
    assert report["recordings"][0]["shared_bytes"]["evaluation keys"] > 0
    with_keys = run(f"{line} --keys client.kkey --images 20", capsys)[1]
    assert with_keys["recordings"][0]["samples"] == 40
    assert run("audit net.kkr", capsys)[1]["error"]["code"] == "KK-D32"
    assert run("audit net.kkr -o report.txt", capsys)[1]["error"]["code"] == "KK-A07"


def test_doctor_reports_without_failing(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run("doctor", capsys)
    assert code == 0
    topics = {item["topic"] for item in report["findings"]}
    assert topics == {"kakuri", "machine", "extras", "data", "secrets on this host"}
    assert main(["doctor"]) == 0
    assert "kernel" in capsys.readouterr().out


def test_the_process_exits_with_the_code_and_without_a_traceback(workplace: Path) -> None:
    script = "from kakuri.cli.main import run; run()"
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(Path(kakuri.__file__).parents[1])}
    done = subprocess.run(
        [*command, "plan", "encrypted", "digit.png"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == exit_codes.MODEL
    assert done.stdout == ""
    assert "KK-M02" in done.stderr
    assert "Traceback" not in done.stderr
    shown = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, env=environment).stdout
    assert shown == f"kakuri {kakuri.__version__}\n"


def test_a_servers_process_loads_no_module_that_can_hold_a_secret_key(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(BUILD, capsys)[0] == 0
    assert run("run client.kkey digit.png -o query.kkq", capsys)[0] == 0
    secret = ["kakuri._ckks_secret", "kakuri.trust.secret_file", "kakuri.encrypted.client"]
    script = (
        "import sys; from kakuri.cli.main import main; code = main(sys.argv[1:]); "
        f"print(code, [name for name in {secret} if name in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(kakuri.__file__).parents[1])}
    sides = {
        "run net.kkr query.kkq -o answer.kka": "0 []",
        "run net.kkr client.kkey -o x": "5 []",
        "run client.kkey digit.png -o again.kkq": f"0 {secret}",  # the probe can fail
    }
    for line, expected in sides.items():
        done = subprocess.run(
            [sys.executable, "-c", script, *line.split()], capture_output=True, text=True, check=True, env=environment
        )
        assert done.stderr.splitlines()[-1] == expected, line


def test_a_defect_is_reported_as_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> object:
        raise RuntimeError("something nobody thought of")

    monkeypatch.setattr("kakuri.cli.doctor._product", broken)
    assert main(["doctor"]) == exit_codes.INTERNAL
    error = capsys.readouterr().err
    assert "KK-X01" in error
    assert "Traceback" not in error


def test_every_error_letter_has_an_exit_code() -> None:
    for letter in "ACDEFKMNZ":
        assert exit_codes.exit_code(f"KK-{letter}99") not in {exit_codes.OK, exit_codes.INTERNAL}
    assert exit_codes.exit_code("KK-X01") == exit_codes.INTERNAL
    assert exit_codes.exit_code("KK-F42") == exit_codes.KEY
    assert exit_codes.exit_code("KK-M12") == exit_codes.ENVIRONMENT


def test_files_cannot_drive_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x07\tc\nd\u202e") == "a\\x1b[2Jb\\x07\tc\nd\\x202e"
    assert finite({"a": [float("nan"), 1.0, (float("inf"),)]}) == {"a": [None, 1.0, [None]]}


def test_npy_headers_are_checked_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for dtype in ("u1", "<i8", ">f4", "<f8", "?"):
        values = np.arange(12).reshape(3, 4).astype(dtype)
        for order in (values, np.asfortranarray(values)):
            np.save(path, order)
            assert np.array_equal(read_npy(path.read_bytes(), path), values.astype(np.float32))
    np.save(path, np.zeros(3))
    good = path.read_bytes()
    hostile = [
        good.replace(b"(3,), }", b"(99999999999999,), }"),
        good.replace(b"'<f8'", b"'|O8'"),
        good.replace(b"(3,)", b"(-3,)"),
        good[:-1],
        good + b"x",
        good[:20],
        b"\x93NUMPY\x09\x00" + good[8:],
    ]
    for data in hostile:
        with pytest.raises(KakuriError) as caught:
            read_npy(data, path)
        assert caught.value.code == "KK-D30"


@pytest.mark.parametrize("name", ["digit.png", "images.npy"])
def test_mutated_inputs_are_read_or_refused(workplace: Path, name: str) -> None:
    original = (workplace / name).read_bytes()
    random_ = random.Random(4)
    seen = set()
    for _ in range(1000):
        data = bytearray(original)
        for _ in range(random_.choice((1, 2, 8))):
            at = random_.randrange(min(len(data), 300))
            data[at] = random_.choice((0, 1, 0x7F, 0xFF, random_.randrange(256)))
        if random_.random() < 0.2:
            del data[random_.randrange(len(data)) :]
        (workplace / "mutated").write_bytes(data)
        try:
            assert read_samples([workplace / "mutated"], (1, 6, 6)).shape[1:] == (1, 6, 6)
            seen.add("")
        except KakuriError as error:
            seen.add(error.code)
    assert seen <= {"", "KK-D30", "KK-D31", "KK-D10", "KK-E40", "KK-D03"}
    assert {"", "KK-D30"} <= seen


@pytest.mark.parametrize("name", ["net.kkr", "client.kkey", "query.kkq", "answer.kka"])
def test_mutated_files_never_end_in_a_defect(workplace: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(BUILD, capsys)[0] == 0
    assert run("run client.kkey digit.png -o query.kkq", capsys)[0] == 0
    assert run("run net.kkr query.kkq -o answer.kka --threads 1", capsys)[0] == 0
    lines = {
        "net.kkr": "run net.kkr query.kkq -o out --threads 1",
        "client.kkey": "run client.kkey answer.kka",
        "query.kkq": "run net.kkr query.kkq -o out --threads 1",
        "answer.kka": "run client.kkey answer.kka",
    }
    original = (workplace / name).read_bytes()
    random_ = random.Random(8)
    for trial in range(12):
        data = bytearray(original)
        if trial % 3 == 0:
            del data[random_.randrange(len(data)) :]
        else:
            for _ in range(trial):
                data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
        (workplace / name).write_bytes(data)
        os.chmod(workplace / name, 0o600)
        for line in (lines[name], f"inspect {name} --verify" if name == "net.kkr" else f"inspect {name}"):
            code, document = run(line, capsys)
            if line.startswith("run"):
                assert code in {exit_codes.FILE, exit_codes.KEY, exit_codes.USAGE, exit_codes.DATA}, document
            assert code != exit_codes.INTERNAL, document
        assert not (workplace / "out").exists()
