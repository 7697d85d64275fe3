"""What the machine's measurement keeps and forgets; units of work cost something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import pytest

from kakuri.encrypted import calibration
from kakuri.encrypted.timing import Machine


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Machine]]:
    """What was measured so far: faster every time."""
    found: list[Machine] = []

    def measure() -> Machine:
        found.append(Machine(butterfly=1.0 / (1 + len(found))))
        return found[-1]

    monkeypatch.setenv("KAKURI_CACHE", str(tmp_path))
    monkeypatch.setattr(calibration, "measure", measure)
    calibration.this_machine.cache_clear()
    yield found
    calibration.this_machine.cache_clear()


def test_it_is_kept_between_processes_until_measured_again(measured: list[Machine]) -> None:
    first = calibration.this_machine()
    calibration.this_machine.cache_clear()
    assert calibration.this_machine() == first
    assert len(measured) == 1
    calibration.measure_again()
    assert calibration.this_machine() == measured[1] != first


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "1", '{"butterfly": 1e9}', '{"butterfly": "fast"}', '{"nothing": 1.0}']
)
def test_a_damaged_file_is_measured_again(measured: list[Machine], tmp_path: Path, text: str) -> None:
    calibration.this_machine()
    calibration.this_machine.cache_clear()
    (file,) = tmp_path.iterdir()
    file.write_text(text, encoding="utf-8")
    assert calibration.this_machine() == measured[1]


def test_every_unit_of_work_takes_time() -> None:
    assert all(calibration.LEAST <= value < 1e3 for value in astuple(calibration.measure()))
