"""The benchmarks of generated code that need no peer: every level and every figure is there, and plausible."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from kakuri import bench
from kakuri.errors import KakuriError
from tests.unit.codegen.test_levels import network

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler")]
EMULATOR = shutil.which("qemu-aarch64") is not None and shutil.which("aarch64-linux-gnu-gcc") is not None


@pytest.fixture
def options(tmp_path: Path) -> bench.Options:
    onnx.save(network(), tmp_path / "net.onnx")
    return bench.Options(runs=1, settings={"models": str(tmp_path)})


def test_levels(options: bench.Options) -> None:
    rows = bench.run("codegen-levels", options)["rows"]
    assert [row["case"] for row in rows] == [f"net/level {level}" for level in range(5)]
    assert rows[0]["ratio"] == 1.0
    assert all(row["cpu_seconds"] > 0 and row["load_cpu_seconds"] > 0 for row in rows)
    assert [row["window_bytes"] > 0 for row in rows] == [False] * 4 + [True]


def test_threads(options: bench.Options) -> None:
    one, many = bench.run("codegen-threads", replace(options, threads=2))["rows"]
    assert (one["case"], many["case"]) == ("net/1", "net/2")
    assert many["ratio"] > 0
    assert many["busy_ratio"] > 0.5


def test_numerics(options: bench.Options) -> None:
    ours, theirs = bench.run("codegen-numerics", options)["rows"]
    assert (ours["system"], theirs["system"]) == ("kakuri", "onnxruntime")
    assert ours["layers"] > 2
    assert 0 < ours["largest_relative_difference"] <= ours["layer_relative_difference"] < 1e-5
    assert 0 < ours["exact_relative_error"] < 1e-5
    assert 0 < theirs["exact_relative_error"] < 1e-5


@pytest.mark.skipif(not EMULATOR, reason="no cross compiler")
def test_arm64(options: bench.Options) -> None:
    row, other = bench.run("codegen-arm64", options)["rows"]
    assert (row["case"], other["case"]) == ("net/arm64", "net/arm64-dotprod")
    assert row["largest_relative_difference"] < 1e-5
    assert abs(row["instructions"] / other["instructions"] - 1) < 0.05  # float32 needs no products of bytes
    products = 64 * 24 * 24 * 9  # of the second convolution alone; four to a vector
    assert products / 8 < row["instructions"] < 100 * products


def test_one_thread_shares_nothing(options: bench.Options) -> None:
    with pytest.raises(KakuriError, match="KK-C24"):
        bench.run("codegen-threads", options)


@pytest.mark.parametrize("name", ["codegen-levels", "codegen-arm64", "codegen-threads", "codegen-numerics"])
def test_no_models(name: str) -> None:
    with pytest.raises(KakuriError) as caught:
        bench.run(name, bench.Options())
    assert caught.value.code in {"KK-C23", "KK-C21"}
