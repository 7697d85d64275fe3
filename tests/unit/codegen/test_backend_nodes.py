"""The ONNX project's own test vectors for every operator that has a kernel, all in one program per target."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from kakuri.codegen.kernels import KERNELS
from kakuri.errors import KakuriError
from tests.unit.codegen.together import Together, assert_close

# Computed at run time in these vectors, constant in real networks.
_CONSTANT_FROM_1 = frozenset(
    "BatchNormalization Clip Conv Expand Gemm LSTM Pad Reshape Resize Slice Split Squeeze Unsqueeze".split()  # noqa: SIM905
)
_FEWEST = 150  # vectors that must run; fewer would mean that the test tests nothing


def _vectors() -> Iterator[tuple[str, onnx.ModelProto, dict[str, np.ndarray]]]:
    """(name, network, inputs) of every vector of one node whose operator has a kernel."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from onnx.backend.test.case import node

        for _, op_type in KERNELS:  # each file of vectors adds its own when it is imported; importing all takes long
            for stem in (op_type.lower(), re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", op_type).lower()):
                if importlib.util.find_spec(f"{node.__name__}.{stem}") is not None:
                    importlib.import_module(f"{node.__name__}.{stem}")
        for case in node._NodeTestCases:
            if case.model is None or len(case.model.graph.node) != 1 or not case.data_sets:
                continue
            op_type = case.model.graph.node[0].op_type
            if ("", op_type) not in KERNELS:
                continue
            arrays = dict(zip((v.name for v in case.model.graph.input), case.data_sets[0][0], strict=False))
            fixed = op_type in _CONSTANT_FROM_1 or op_type.startswith("Reduce")
            yield case.name, *_with_constants(case.model, arrays, fixed=fixed)


def _with_constants(
    model: onnx.ModelProto, arrays: dict[str, np.ndarray], *, fixed: bool
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    values = list(graph.graph.input)
    del graph.graph.input[:]
    for index, value in enumerate(values):
        if fixed and index > 0:
            graph.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(arrays[value.name]), value.name))
        else:
            graph.graph.input.append(value)
    return graph, {value.name: np.asarray(arrays[value.name]) for value in graph.graph.input}


def _program() -> tuple[Together, list[str]]:
    together, refused = Together(), []
    for name, model, inputs in _vectors():
        wanted = (np.float32, np.int64) if "gather" in name else (np.float32,)
        if any(array.dtype not in wanted for array in inputs.values()):
            continue
        try:
            together.add(model, inputs, name)
        except KakuriError as error:
            refused.append(f"{name}: {error.code}")
    return together, refused


@pytest.mark.parametrize(
    "target",
    ["x86-64-avx512", *(pytest.param(t, marks=pytest.mark.slow) for t in ("x86-64-avx2", "x86-64-sse2", "plain"))],
)
def test_every_vector_of_a_supported_operator(target: str, tmp_path: Path) -> None:
    together, refused = _program()
    assert together.count >= _FEWEST, refused
    assert_close(together.check(tmp_path, target))
