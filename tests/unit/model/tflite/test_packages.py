"""A loaded TFLite model in the rest of the product: packages keep its marks, ``check`` and the command line read it."""

from __future__ import annotations

import json

import numpy as np

from kakuri.cli.main import main
from kakuri.model import check, from_bytes, to_bytes
from kakuri.model.importers.tflite.load import convert
from kakuri.model.quantized import regions
from tests.unit.model.tflite.oracle import feeds_for, integers
from tests.unit.model.tflite.test_float_operators import CASES
from tests.unit.model.tflite.test_quantized_operators import ALL


def test_a_packaged_model_keeps_its_regions_and_its_interface():
    net = convert(ALL["int8 conv relu6"])
    again = from_bytes(to_bytes(net))
    assert [region.operator for region in regions(again)] == ["CONV_2D"]
    assert [value.metadata_props for value in again.graph.inputs] == [
        value.metadata_props for value in net.graph.inputs
    ]
    assert float(again.graph.inputs[0].metadata_props["kakuri.scale"]) == float(np.float32(0.02))
    feeds = feeds_for(net)
    np.testing.assert_array_equal(integers(again, feeds)[0], integers(net, feeds)[0])


def test_check_names_what_encrypted_inference_cannot_do():
    report = check(convert(CASES["max pool"]), "encrypted")
    assert not report.ok
    assert "MaxPool" in {problem.op for problem in report.problems}


def test_the_command_line_reads_the_format(tmp_path, capsys):
    path = tmp_path / "net.tflite"
    path.write_bytes(CASES["dense"])
    assert main(["check", "encrypted", str(path), "--json"]) in (0, 3)
    assert json.loads(capsys.readouterr().out)["protection"] == "encrypted"
    path.write_bytes(CASES["dense"][:40])
    assert main(["check", "encrypted", str(path)]) != 0
    assert "not a TFLite file" in capsys.readouterr().err
