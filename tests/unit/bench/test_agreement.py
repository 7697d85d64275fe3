"""Agreement over many images: figures against a hand count, and a record that resumes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kakuri import model
from kakuri.bench.encrypted_agreement import agreement
from kakuri.bench.encrypted_case import Subject
from kakuri.bench.rows import Options
from tests.unit.encrypted.models import small_network

IMAGES = 6


@pytest.fixture
def subject(tmp_path, monkeypatch):
    """Half of the true labels are those of the network in the clear."""
    monkeypatch.setenv("KAKURI_CACHE", str(tmp_path / "cache"))
    net, images = small_network(IMAGES)
    weights = tmp_path / "net.onnx"
    weights.write_bytes(model.to_bytes(net))
    clear = model.reference_outputs(net, images).argmax(1)
    labels = np.where(np.arange(IMAGES) % 2, clear, (clear + 1) % 3)
    return Subject("small", weights, images, labels, images)


def part(subject, count):
    return Subject(subject.name, subject.weights, subject.images[:count], subject.labels[:count], subject.calibration)


def test_figures(subject):
    figures = agreement(subject, Options()).figures
    assert figures["images"] == IMAGES
    assert figures["resumed_images"] == 0
    assert figures["agreement_percent"] == 100.0
    assert figures["plaintext_accuracy_percent"] == figures["encrypted_accuracy_percent"] == 50.0
    assert 0 < figures["largest_error"] < 0.25
    assert figures["cpu_seconds"] >= figures["cpu_min_seconds"] > 0


def test_a_record_cut_short_resumes(subject, tmp_path):
    agreement(part(subject, 4), Options())
    (path,) = (tmp_path / "cache" / "bench").iterdir()
    path.write_bytes(path.read_bytes()[:-5])  # the fourth answer was being written
    figures = agreement(subject, Options()).figures
    assert figures["resumed_images"] == 3
    assert figures["agreement_percent"] == 100.0
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({entry["image"] for entry in entries}) == len(entries) == IMAGES


def test_answers_come_from_the_record(subject, tmp_path):
    """A wrong label in the record is reported as a disagreement, and nothing is computed again."""
    agreement(subject, Options())
    (path,) = (tmp_path / "cache" / "bench").iterdir()
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    entries[1]["label"] = (entries[1]["label"] + 1) % 3
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    figures = agreement(subject, Options()).figures
    assert figures["resumed_images"] == IMAGES
    assert "cpu_seconds" not in figures
    assert figures["agreement_percent"] == pytest.approx(100 * (IMAGES - 1) / IMAGES)
