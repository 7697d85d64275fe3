"""The table of extraction: what each level keeps, measured on the real thing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from tests.unit.codegen.test_levels import network
from tests.unit.model.builders import loaded

from kakuri.audit.extraction import ExtractionReport, extraction
from kakuri.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler")]


@pytest.fixture(scope="module")
def report() -> ExtractionReport:
    return extraction(loaded(network()), target="x86-64-sse2")


def recall(report: ExtractionReport, attack: str) -> list[float]:
    return [item.recall for row in report.rows for item in row.findings if item.attack == attack]


def test_every_attack_passed_its_self_test(report: ExtractionReport) -> None:
    assert set(report.left_out) <= {"disassembly"}  # capstone is an extra


def test_weights_in_the_clear_come_out_and_sealed_ones_do_not(report: ExtractionReport) -> None:
    plain, sealed = recall(report, "weight_statistics")[:3], recall(report, "weight_statistics")[3:]
    assert min(plain) > 0.9
    assert max(sealed) < 0.01
    assert max(recall(report, "known_layouts")[3:]) < 0.01


def test_the_models_own_order_is_gone_from_level_2_and_the_network_is_not(report: ExtractionReport) -> None:
    assert recall(report, "known_layouts")[0] > 0.99
    assert recall(report, "known_layouts")[2] < 0.05
    agreement = [row.agreement for row in report.rows]
    assert agreement[:3] == [1.0, 1.0, 1.0]
    assert max(agreement[3:]) < 0.9


def test_tables_of_sizes_are_gone_from_level_1(report: ExtractionReport) -> None:
    assert recall(report, "size_tables")[0] == 1.0
    assert max(recall(report, "size_tables")[1:]) < 0.2


def test_one_moment_of_level_4_shows_little_and_a_hook_shows_all(report: ExtractionReport) -> None:
    scanned, hooked = recall(report, "memory_scan"), recall(report, "call_tracing")
    assert min(scanned[:4]) > 0.99
    assert scanned[4] <= 0.05
    assert hooked[:3] == [0.0, 0.0, 0.0]
    assert min(hooked[3:]) > 0.99
    assert report.ok


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(network(), "net.onnx")
    assert main(["audit", "codegen", "net.onnx", "--levels", "3", "--target", "plain", "-o", "r.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Path("r.json").read_text())
    assert main(["audit", "codegen", "net.onnx", "--levels", "7"]) == 2
