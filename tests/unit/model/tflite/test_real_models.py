"""Every .tflite of the folder KAKURI_MODELS loads, or is refused by name; answers beside LiteRT, in a table."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model.quantized import regions
from tests.unit.model.tflite.oracle import feeds_for, integers, litert, onnx

FOLDER = os.environ.get("KAKURI_MODELS")
pytestmark = [
    pytest.mark.needs_models,
    pytest.mark.skipif(FOLDER is None, reason="set KAKURI_MODELS to a folder with tflite/*.tflite"),
]
FILES = sorted((Path(FOLDER or "/nowhere") / "tflite").glob("*.tflite"))
REFUSED = {
    "coral_posenet_mnv1_075_353x481_decoder_u8": ["PosenetDecoderOp"],
    "tflm_keyword_scrambled_8bit": ["SVDF"],
}
#: Float activations, int8 weights: LiteRT quantises the activations while it runs, and answers within this share.
DYNAMIC_RANGE = {"mlperf_tiny_kws_f32": 2e-2}
#: Seconds each in numpy: the others are compared by `make test-slow`.
LARGE = ("coral_deeplabv3_mnv2_dm05_u8", "coral_deeplabv3_mnv2_u8", "coral_tf2_mobilenet_v2_ptq_i8")
LARGE += ("tflm_mobilenet_v2_pt_quant_i8", "mobilenet_v2_1.0_224_u8", "coral_mobilenet_v1_0.5_160_u8")
LOADED = [path for path in FILES if path.stem not in REFUSED]
QUICK = [path for path in LOADED if path.stem not in LARGE]


def name(path):
    return path.stem


@pytest.mark.parametrize("path", [path for path in FILES if path.stem in REFUSED], ids=name)
def test_refusals_name_every_unsupported_operator(path):
    with pytest.raises(KakuriError) as caught:
        kk.load(path)
    assert {problem.code for problem in caught.value.problems} == {"KK-M05"}
    assert all(word in str(caught.value) for word in REFUSED[path.stem])


def compare(path):
    """One row of the table; floats are checked against ONNX Runtime, integers against both executors."""
    net = kk.load(path)
    feeds = feeds_for(net)
    expected, floats = litert(path.read_bytes(), feeds), onnx(net, feeds)
    found = regions(net)
    exact = integers(net, feeds) if found else floats
    worst = ""
    for array, near, wanted in zip(exact, floats, expected, strict=True):
        assert (array.shape, array.dtype) == (wanted.shape, wanted.dtype)
        if wanted.dtype.kind == "f":
            share = float(np.abs(array - wanted).max()) / max(1e-30, float(np.abs(wanted).max()))
            worst += f" {share:.1e}"
            assert share < DYNAMIC_RANGE.get(path.stem, 1e-4)
        else:
            np.testing.assert_array_equal(array, wanted)
            worst += f" exact; QDQ in ONNX Runtime: {int(np.abs(near.astype(int) - wanted.astype(int)).max())}"
    print(f"{path.stem:42} {len(net.graph):4} nodes {len(found):3} regions {worst}")


@pytest.mark.parametrize("path", QUICK, ids=name)
def test_answers_are_the_runtimes(path):
    compare(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in LOADED if path.stem in LARGE], ids=name)
def test_answers_of_large_models_are_the_runtimes(path):
    compare(path)
