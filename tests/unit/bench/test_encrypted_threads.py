"""Threads beside one thread: the same answers, figures that follow from what was timed, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from kakuri import model
from kakuri.bench import encrypted_threads
from kakuri.bench.encrypted_case import Subject
from kakuri.bench.rows import Options
from kakuri.errors import KakuriError
from tests.unit.encrypted.models import small_network


def test_rows_of_one_and_of_two_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, images = small_network(1)
    weights = tmp_path / "net.onnx"
    weights.write_bytes(model.to_bytes(net))
    subject = Subject("small", weights, images, model.reference_outputs(net, images).argmax(1), images)
    monkeypatch.setattr(encrypted_threads, "subjects", lambda options, count: [subject])
    one, two = encrypted_threads.run(Options(threads=2))
    assert (one.case, two.case) == ("small/1", "small/2")
    assert two.figures["ratio"] == one.figures["latency_seconds"] / two.figures["latency_seconds"]
    assert two.figures["ratio_of_pairs"] == two.figures["ratio"]  # of one image


def test_one_thread_has_nothing_to_share() -> None:
    with pytest.raises(KakuriError, match="KK-C24"):
        encrypted_threads.run(Options(threads=1))
