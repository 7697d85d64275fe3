"""The protocol on digits: takes are apart, one speaker is unheard, measures and intervals by hand."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from kakuri import personal
from kakuri.bench.paired import paired_row
from kakuri.bench.personal_digits import GENERAL_TAKES, OWN_TAKES, Digits, digits


def take(seed: int) -> bytes:
    """A quarter of a second of noise as WAV."""
    noise = np.random.default_rng(seed).normal(0, 5000, 2000).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(noise.tobytes())
    return buffer.getvalue()


def test_takes_are_apart_and_the_speaker_is_unheard() -> None:
    each = sum(OWN_TAKES.values())
    speakers = {
        name: [[take(100000 * s + 1000 * digit + n) for n in range(each)] for digit in range(10)]
        for s, name in enumerate(("a", "b", "c"))
    }
    data = digits(speakers, seed=1)
    parts = [data.general.part(False)[0], data.general.part(True)[0], data.own, data.test]
    counts = [len(part) for part in parts]
    assert counts == [
        2 * 10 * GENERAL_TAKES["train"],
        2 * 10 * GENERAL_TAKES["held"],
        10 * OWN_TAKES["own"],
        2 * 10 * GENERAL_TAKES["test"] + 10 * OWN_TAKES["own test"],
    ]
    assert len({sample.tobytes() for part in parts for sample in part}) == sum(counts)
    assert data.general_tests == 2 * 10 * GENERAL_TAKES["test"]
    assert set(data.own_labels) == set(data.general.labels) == set(range(10))
    assert np.array_equal(data.test, digits(speakers, seed=1).test)


def test_measures_by_hand() -> None:
    samples = np.zeros((2, 1, 48, 48), np.uint8)
    general = personal.GeneralData(samples, np.array([0, 1]), ("0", "1"), np.array([True, False]))
    data = Digits(general, samples, np.array([0, 1]), samples, np.array([0, 1, 0, 0, 1, 1]), 4)
    found = data.measure(np.array([0, 1, 1, 1, 1, 0]))
    assert found == {"accuracy": pytest.approx(0.5), "general_accuracy": 0.5, "personal_recall": 0.5}


def test_intervals_hold_the_pairs_together() -> None:
    shared = {"cpu_seconds": 30.0, "peak_bytes": 5.0, "installed": 1.0}
    ceiling = [{**shared, "accuracy": a, "personal_recall": a, "false_personal": a / 10} for a in (0.5, 0.8, 0.2)]
    ours = [{**r, "accuracy": 0.9 * r["accuracy"], "personal_recall": r["accuracy"] + 0.1} for r in ceiling]
    for row in ours:
        row["cpu_seconds"] = 2.0
    figures = paired_row("best", ours, ceiling).to_dict()
    for key in ("share_of_ceiling", "share_of_ceiling_low", "share_of_ceiling_high"):
        assert figures[key] == pytest.approx(0.9)  # every pair has this ratio, so does every draw
    for key in ("personal_recall_gain", "personal_recall_gain_low", "personal_recall_gain_high"):
        assert figures[key] == pytest.approx(0.1)
    assert figures["false_personal_low"] < figures["false_personal"] == pytest.approx(0.05)
    assert figures["false_personal"] < figures["false_personal_high"]
    assert figures["ratio"] == pytest.approx(15)
    assert figures["seeds"] == figures["installed"] == 3
