"""Weights of 9 bits as bytes and a few taps more: what is taken apart adds up."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.codegen.kernels.integer.rest import rest_array, taps_in, taps_of
from kakuri.codegen.kernels.integer.signed import split_weights


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 9), st.integers(1, 70), st.sampled_from([0, 3, 100, 128, 255]), st.integers(0, 99)
)
def test_sets_and_taps_add_up(segments: int, length: int, columns: int, zero: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    exact = random.integers(0, 256, (segments, length, columns)) - zero
    exact[random.random(exact.shape) < 0.9] = 0
    first, *more = sets = split_weights(exact)
    assert all(part.min() >= -128 and part.max() <= 127 for part in sets)
    offsets = 1000 * np.arange(segments) - 50
    taps = taps_in(rest_array(taps_of(more, offsets), columns), columns)
    found = first.copy()
    for offset, weights in taps:
        segment = (offset + 50) // 1000
        for byte, column in zip(*np.nonzero(weights.T), strict=True):
            found[segment, offset - offsets[segment] + byte, column] += weights[column, byte]
    assert np.array_equal(found, exact)
    assert bool(taps) == bool(len(more))
