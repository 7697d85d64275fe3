"""Cutting by layers: the parts, run in order under ONNX Runtime, compute what the whole computes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model.graph import static_shape
from kakuri.model.layers import layers
from kakuri.model.passes import partition
from tests.unit.model.builders import loaded, model
from tests.unit.model.darknet_files import lenet

SINGLE = {"Relu": 1, "Sigmoid": 1, "Neg": 1, "Add": 2, "Mul": 2, "Sub": 2}


def run(net: ir.Model, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(kk.model.to_bytes(net), providers=["CPUExecutionProvider"])
    wanted = {value.name: feeds[value.name] for value in net.graph.inputs}
    return dict(zip([value.name for value in net.graph.outputs], session.run(None, wanted), strict=True))


def run_parts(net: ir.Model, layers: str, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    known = dict(feeds)
    cut = partition(net, layers)
    for part in (cut.before, cut.inside, cut.after):
        if part is not None:
            known |= run(part, known)
    return {value.name: known[value.name] for value in net.graph.outputs}


@st.composite
def graphs(draw: st.DrawFn):
    """Random acyclic graphs with one or two inputs and several outputs, so that values skip over parts."""
    inputs = [f"x{index}" for index in range(draw(st.integers(1, 2)))]
    values, nodes = list(inputs), []
    for index in range(draw(st.integers(2, 10))):
        op_type = draw(st.sampled_from(sorted(SINGLE)))
        arguments = [draw(st.sampled_from(values)) for _ in range(SINGLE[op_type])]
        nodes.append(helper.make_node(op_type, arguments, [f"v{index}"], name=f"n{index}"))
        values.append(f"v{index}")
    unread = [v for v in values[len(inputs) :] if not any(v in node.input for node in nodes)]
    outputs = sorted({*unread, *draw(st.lists(st.sampled_from(values[len(inputs) :]), max_size=2))})
    used = [name for name in inputs if any(name in node.input for node in nodes)]
    return model(nodes, {name: [1, 2, 3] for name in used}, outputs)


@settings(deadline=None, max_examples=120)
@given(data=st.data(), proto=graphs())
def test_composition_equals_the_whole(data, proto):
    net = loaded(proto)
    count = len(layers(net))
    first = data.draw(st.integers(0, count - 1))
    last = data.draw(st.integers(first, count - 1))
    rng = np.random.default_rng(0)
    feeds = {v.name: rng.standard_normal(static_shape(v)).astype(np.float32) for v in net.graph.inputs}
    whole, parts = run(net, feeds), run_parts(net, f"{first}:{last}", feeds)
    assert whole.keys() == parts.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array)


@pytest.mark.parametrize("cut", ["0:10", "1:10", "5:10", "9:10", "2:3", ":4", "8:"])
def test_the_document_s_partitions(tmp_path, cut):
    net = kk.load(lenet(np.random.default_rng(1)).save(tmp_path))
    x = np.random.default_rng(2).random((1, 1, 28, 28), dtype=np.float32)
    whole, parts = run(net, {"input": x}), run_parts(net, cut, {"input": x})
    for name, array in whole.items():
        np.testing.assert_allclose(parts[name], array, atol=1e-6)


def test_boundary_names_shapes_and_weights(tmp_path):
    net = kk.load(lenet(np.random.default_rng(1)).save(tmp_path))
    cut = partition(net, "5:10")
    assert (cut.first, cut.last, cut.after) == (5, 10, None)
    assert [(value.name, static_shape(value)) for value in cut.entering] == [("layer4.relu.out", (1, 120))]
    assert [(value.name, static_shape(value)) for value in cut.leaving] == [("layer9.softmax.out", (1, 10))]
    assert sorted(cut.inside.graph.initializers) == ["layer6.bias", "layer6.weight", "layer8.bias", "layer8.weight"]
    assert not set(cut.inside.graph.initializers) & set(cut.before.graph.initializers)
    assert len(net.graph.initializers) == 10  # the original keeps everything


@pytest.mark.parametrize("text", ["", "5", "5-10", "10:5", "0:11", "11:", "-1:3", "a:b", ":::", "0:99999999999"])
def test_ranges_that_are_none(tmp_path, text):
    net = kk.load(lenet(np.random.default_rng(1), side=14).save(tmp_path))
    with pytest.raises(KakuriError) as caught:
        partition(net, text)
    assert caught.value.code == "KK-M45"


def test_layers_that_compute_nothing(tmp_path):
    net = kk.load(lenet(np.random.default_rng(1), side=14).save(tmp_path))
    with pytest.raises(KakuriError) as caught:
        partition(net, "10:10")
    assert (caught.value.code, caught.value.problem.got) == ("KK-M46", "cost")
