"""Readings of bytes: plaintext in common encodings stands in one of them, whole messages in others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.attacks.features import READINGS, standardise

WIDTHS = {"bytes": "u1", "float32": "<f4", "float64": "<f8", "integers of 16 bits": "<u2", "integers of 32 bits": "<u4"}


@pytest.mark.parametrize(("reading", "dtype"), WIDTHS.items())
def test_values_stand_in_order_in_their_reading(reading: str, dtype: str) -> None:
    values = np.arange(50).astype(dtype)
    row = READINGS[reading]([values.tobytes()])[0]
    assert row[:50] == pytest.approx(np.arcsinh(np.arange(50.0)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4))
def test_every_reading_is_finite_for_any_bytes_of_any_lengths(samples: list[bytes]) -> None:
    for name, reading in READINGS.items():
        table = reading(samples)
        assert table.shape[0] == len(samples), name
        assert np.isfinite(table).all(), name
        assert np.isfinite(standardise(table, table)).all(), name


def test_projections_leave_no_byte_out() -> None:
    base = bytes(5000)
    changed = [base[:at] + b"\1" + base[at + 1 :] for at in (0, 1023, 2500, 4999)]
    table = READINGS["random projections"]([base, *changed])
    for row in table[1:]:
        assert np.count_nonzero(row != table[0]) == 1


def test_histogram_counts_the_whole_message() -> None:
    row = READINGS["byte histogram"]([b"aab" * 1000])[0]
    assert row[ord("a")] == pytest.approx(2 / 3)
    assert row[256] == 3000


def test_standardise_zeroes_constant_columns() -> None:
    table = np.array([[1.0, 5.0], [3.0, 5.0]])
    assert standardise(table, table).tolist() == [[-1.0, 0.0], [1.0, 0.0]]
