"""ArgMax of bytes that lie side by side, which vectors find: the first of equals, whatever the length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import kakuri as kk
from tests.unit.model.builders import loaded

LENGTHS = (1, 5, 15, 16, 17, 21, 31, 32, 33, 64, 100)
RANGES = ((0, 256), (252, 256), (0, 3), (255, 256), (0, 1))  # ties, too
ROWS = 8 * len(RANGES)


def network() -> onnx.ModelProto:
    ends = ", ".join(f"int64[{ROWS}] y{n}" for n in LENGTHS)
    starts = ", ".join(f"uint8[{ROWS}, {n}] x{n}" for n in LENGTHS)
    lines = " ".join(f"y{n} = ArgMax <axis = 1, keepdims = 0> (x{n})" for n in LENGTHS)
    return onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> g ({starts}) => ({ends}) {{ {lines} }}')


@pytest.mark.parametrize("target", ["x86-64-avx512", "x86-64-avx2", "plain"])
def test_the_first_of_the_largest(tmp_path: Path, target: str) -> None:
    random, source = np.random.default_rng(0), kk.codegen.plan(loaded(network()), target=target).build(tmp_path)
    assert b"kk_largest_byte(p, 100)" in (tmp_path / "infer_steps.h").read_bytes()
    given = [np.concatenate([random.integers(*ends, (8, n)) for ends in RANGES]).astype(np.uint8) for n in LENGTHS]
    for rows, found in zip(given, source.run(given), strict=True):
        assert np.array_equal(np.asarray(found).reshape(-1), rows.argmax(axis=1)), rows.shape
