"""What the room promises to others: names, light imports, stable signatures."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import kakuri.model
from kakuri.model import passes


def test_public_names():
    assert set(kakuri.model.__all__) == {
        "PROTECTIONS",
        "ModelProblem",
        "Report",
        "Severity",
        "calibrate",
        "check",
        "document_activation",
        "from_bytes",
        "load",
        "reference_outputs",
        "reference_values",
        "save",
        "to_bytes",
    }
    assert set(passes.__all__) == {
        "Partition",
        "PolynomialActivation",
        "count_small_weights",
        "expand_polynomial",
        "fold_batchnorm",
        "fold_coefficients",
        "fold_constants",
        "normalize_linear",
        "partition",
        "polynomial_activation",
        "recognize_polynomial",
        "remove_identities",
        "round_small_weights",
    }


@pytest.mark.parametrize("name", kakuri.model.__all__)
def test_every_name_resolves_and_is_documented(name):
    assert getattr(kakuri.model, name) is not None
    if name != "PROTECTIONS":
        assert inspect.getdoc(getattr(kakuri.model, name))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kakuri.model.nothing


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (kakuri.model.load, ["source", "example"]),
        (kakuri.model.check, ["net", "protection"]),
        (kakuri.model.reference_outputs, ["net", "inputs"]),
        (kakuri.model.reference_values, ["net", "inputs", "names"]),
        (kakuri.model.calibrate, ["net", "inputs"]),
        (kakuri.model.save, ["net", "path"]),
        (kakuri.model.to_bytes, ["net"]),
    ],
)
def test_signatures(function, parameters):
    assert list(inspect.signature(function).parameters) == parameters


@pytest.mark.parametrize(
    ("action", "absent"),
    [
        ("import kakuri.model", ["torch", "onnxruntime", "onnx", "numpy"]),
        ("import kakuri; kakuri.load; kakuri.model.passes", ["torch", "onnxruntime", "torch_pruning"]),
    ],
)
def test_imports_stay_light(action, absent):
    code = "import sys, kakuri.model.passes\n" if "passes" in action else "import sys\n"
    code += f"{action}\nsys.exit(','.join(name for name in {absent!r} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.strip() == ""
