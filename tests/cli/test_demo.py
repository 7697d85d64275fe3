"""The demo does what it shows, on fewer pictures."""

from __future__ import annotations

import json

import pytest

from kakuri.cli import exit_codes
from kakuri.cli.main import main


def demo(capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["demo", "--pictures", "2", "--no-audit", "--json"]) == exit_codes.OK
    return json.loads(capsys.readouterr().out)


def test_encrypted_answers_and_sealed_ones_are_the_networks(capsys: pytest.CaptureFixture[str]) -> None:
    shown = demo(capsys)
    assert shown["agreement"] == 1.0
    assert [row["label"] for row in shown["answers"]] == [row["encrypted_answer"] for row in shown["answers"]]
    sealed = shown["sealed"]
    assert (sealed["agree"], sealed["pictures"], sealed["refused"][:3]) == (2, 2, "KK-")
    assert sealed["sealed_bytes"] > 50_000


def test_where_the_sandbox_is_missing_the_demo_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert demo(capsys)["sealed"]["error"].startswith("KK-")
