"""Loading ONNX files: the normal form, and a typed refusal for everything else."""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model.graph import constant, static_shape
from kakuri.model.importers.onnx import normalize, parse
from kakuri.model.limits import Limits
from tests.unit.model.builders import loaded, model, run, seeds

RNG = np.random.default_rng(3)


def node(op, inputs, outputs, name="", **attributes):
    return helper.make_node(op, inputs, outputs, name=name, **attributes)


def write(tmp_path, proto, name="net.onnx"):
    path = tmp_path / name
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    return path


def refusal(action, *arguments, **keywords):
    with pytest.raises(KakuriError) as caught:
        action(*arguments, **keywords)
    return caught.value


def small(batch=1):
    weights = RNG.standard_normal((3, 4)).astype(np.float32)
    return model([node("Gemm", ["x", "fc.weight"], ["y"], transB=1)], {"x": [batch, 4]}, ["y"], {"fc.weight": weights})


def test_a_file_by_text_and_by_path(tmp_path):
    path = write(tmp_path, small())
    for source in (path, str(path)):
        assert [item.name for item in kk.load(source).graph] == ["fc"]


@pytest.mark.parametrize("data", seeds(), ids=["conv", "opset 9", "arithmetic"])
def test_normal_form(data):
    proto = onnx.load_model_from_string(data)
    net = loaded(proto)
    assert dict(net.graph.opset_imports) == {"": 20}
    assert not net.functions
    names = [item.name for item in net.graph]
    assert all(names)
    assert len(set(names)) == len(names)
    for item in net.graph:
        assert item.op_type not in ("Identity", "Dropout", "Constant", "Shape", "Gather", "ConstantOfShape")
        assert all(min(static_shape(value)) >= 1 for value in item.outputs)
        assert not item.metadata_props
        assert any(constant(value) is None for value in item.inputs if value is not None)
    used = {value.name for item in net.graph for value in item.inputs if value is not None}
    assert set(net.graph.initializers) <= used
    assert all(static_shape(value)[0] == 1 for value in net.graph.inputs)
    onnx.checker.check_model(ir.to_proto(net), full_check=True)


@pytest.mark.parametrize("data", seeds(), ids=["conv", "opset 9", "arithmetic"])
def test_the_function_is_the_files(data):
    proto = onnx.load_model_from_string(data)
    shape = [max(1, dim.dim_value) for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    x = RNG.standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(run(loaded(proto), x), run(proto, x), atol=1e-5)


def test_an_open_batch_axis_becomes_one():
    assert static_shape(loaded(small("N")).graph.inputs[0]) == (1, 4)


def test_an_open_axis_elsewhere_and_control_flow_are_reported_together():
    branch = helper.make_graph([], "branch", [], [])
    proto = model(
        [
            node("If", ["c"], ["a"], "choice", then_branch=branch, else_branch=branch),
            node("Frobnicate", ["x"], ["y"], "odd"),
        ],
        {"x": [1, "width"], "c": [1]},
        ["y"],
    )
    error = refusal(loaded, proto)
    assert [problem.code for problem in error.problems] == ["KK-M07", "KK-M05", "KK-M05"]
    assert all(word in str(error) for word in ("width", "choice", "odd", "Frobnicate"))


def test_every_shape_problem_is_reported_at_once():
    proto = model(
        [
            node("NonZero", ["x"], ["a"], "data dependent"),
            node("MatMul", ["x", "w"], ["b"], "misfit"),
            node("Add", ["b", "x"], ["y"], "follows from the misfit"),
        ],
        {"x": [1, 4]},
        ["a", "y"],
        {"w": np.ones((3, 2), np.float32)},
    )
    assert [problem.where for problem in refusal(loaded, proto).problems] == ["data dependent", "misfit"]


@pytest.mark.parametrize(
    ("weights", "nodes", "names"),
    [
        ({"conv1.weight": (3, 1, 1, 1)}, [node("Conv", ["x", "conv1.weight"], ["y"], "node_conv2d")], ["conv1"]),
        ({"w": (3, 1, 1, 1)}, [node("Conv", ["x", "w"], ["y"], "/features/conv1/Conv")], ["conv1"]),
        ({"w": (3, 1, 1, 1)}, [node("Conv", ["x", "w"], ["y"], "my own name")], ["my own name"]),
        (
            {"w": (3, 1, 1, 1)},
            [node("Conv", ["x", "w"], ["first"]), node("Relu", ["first"], ["y"])],
            ["first", "relu1"],
        ),
        ({}, [node("Relu", ["x"], ["1"], "same"), node("Relu", ["1"], ["y"], "same")], ["same", "same_2"]),
        ({}, [node("Relu", ["x"], ["1"]), node("Relu", ["1"], ["y"])], ["relu1", "relu2"]),
    ],
)
def test_names(weights, nodes, names):
    constants = {name: np.ones(shape, np.float32) for name, shape in weights.items()}
    assert [item.name for item in loaded(model(nodes, {"x": [1, 1, 2, 2]}, ["y"], constants)).graph] == names


def test_weights_listed_as_inputs_are_constants():
    proto = small()
    proto.graph.input.append(helper.make_tensor_value_info("fc.weight", TensorProto.FLOAT, [3, 4]))
    assert [value.name for value in loaded(proto).graph.inputs] == ["x"]


def test_the_models_own_metadata_stays_and_traces_go():
    proto = small()
    proto.metadata_props.add(key="scale", value="0.1")
    proto.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/somebody/secret.py")
    proto.graph.doc_string = "written by /home/somebody"
    net = loaded(proto)
    assert dict(net.metadata_props) == {"scale": "0.1"}
    assert b"somebody" not in kk.model.to_bytes(net)


def test_repeated_constants_take_no_memory():
    """A gigabyte of one number, declared in a few bytes, is loaded as one number."""
    fill = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5])
    proto = model(
        [node("ConstantOfShape", ["dims"], ["w"], value=fill), node("MatMul", ["x", "w"], ["y"])],
        {"x": [1, 1 << 14]},
        ["y"],
        {"dims": np.array([1 << 14, 1 << 14])},
    )
    net = loaded(proto)
    (weights,) = [constant(value) for value in net.graph.initializers.values()]
    assert weights.shape == (1 << 14, 1 << 14)
    assert not any(weights.strides)


def test_what_nothing_reads_is_not_looked_at():
    proto = small()
    proto.graph.node.append(node("NonZero", ["x"], ["unread"], "data dependent"))
    assert [item.op_type for item in loaded(proto).graph] == ["Gemm"]


# Refusals


def edited(change):
    proto = small()
    change(proto)
    return proto


def set_version(version):
    return lambda proto: setattr(proto.opset_import[0], "version", version)


def rename_output(name):
    def change(proto):
        proto.graph.node[0].output[0] = name

    return change


REFUSED = {
    "no opset": (lambda p: p.opset_import.pop(), "KK-M02"),
    "old opset": (set_version(6), "KK-M04"),
    "opset of the future": (set_version(99), "KK-M04"),
    "no nodes": (lambda p: p.graph.node.pop(), "KK-M02"),
    "no outputs": (lambda p: p.graph.output.pop(), "KK-M02"),
    "output not computed": (rename_output("z"), "KK-M02"),
    "cycle": (lambda p: p.graph.node[0].input.__setitem__(0, "y"), "KK-M02"),
    "foreign domain": (lambda p: setattr(p.graph.node[0], "domain", "com.microsoft"), "KK-M05"),
    "our domain in a file": (lambda p: setattr(p.graph.node[0], "domain", "kakuri"), "KK-M05"),
    "terminal escape in a name": (lambda p: setattr(p.graph.node[0], "name", "\x1b[2J"), "KK-M02"),
    "endless name": (lambda p: setattr(p.graph.node[0], "name", "a" * 10_000), "KK-M02"),
    "short weights": (lambda p: setattr(p.graph.initializer[0], "raw_data", b"1234"), "KK-M02"),
    "huge weights": (lambda p: p.graph.initializer[0].dims.__setitem__(0, 1 << 60), "KK-M03"),
    "negative dimension": (lambda p: p.graph.initializer[0].dims.__setitem__(0, -3), "KK-M03"),
    "string weights": (lambda p: setattr(p.graph.initializer[0], "data_type", TensorProto.STRING), "KK-M05"),
    "unknown attribute": (lambda p: p.graph.node[0].attribute.append(helper.make_attribute("q", 1)), "KK-M02"),
    "attribute of another type": (
        lambda p: p.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("transB", "s")),
        "KK-M02",
    ),
    "zero-size input": (lambda p: setattr(p.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 0), "KK-M07"),
    "input of unknown rank": (lambda p: p.graph.input[0].type.tensor_type.ClearField("shape"), "KK-M07"),
    "external data": (lambda p: setattr(p.graph.initializer[0], "data_location", TensorProto.EXTERNAL), "KK-M06"),
    "functions": (lambda p: p.functions.add(name="f"), "KK-M05"),
    "mixed types": (
        lambda p: p.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((3, 4)), "fc.weight")),
        "KK-M02",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    change, code = REFUSED[case]
    assert refusal(loaded, edited(change)).code == code


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"not a model", bytes(range(256))])
def test_other_bytes(data):
    assert refusal(parse, data).code == "KK-M02"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(file_bytes=10), "KK-M03"),
        (Limits(nodes=0), "KK-M03"),
        (Limits(initializers=0), "KK-M03"),
        (Limits(value_elements=11), "KK-M03"),
        (Limits(rank=1), "KK-M03"),
    ],
)
def test_limits(limits, code):
    def load():
        return normalize(parse(small().SerializeToString(), limits), limits)

    assert refusal(load).code == code


def test_folding_has_a_budget():
    chain = [node("Neg", ["c" if k == 0 else f"n{k}"], [f"n{k + 1}"]) for k in range(10)]
    proto = model(
        [*chain, node("Add", ["x", "n10"], ["y"])], {"x": [1, 100]}, ["y"], {"c": np.ones((1, 100), np.float32)}
    )
    limits = Limits(folded_elements=1000)
    assert refusal(lambda: normalize(parse(proto.SerializeToString()), limits)).code == "KK-M03"
    assert len(normalize(parse(proto.SerializeToString()), Limits(folded_elements=2000)).graph) == 1


def test_missing_file(tmp_path):
    assert refusal(kk.load, tmp_path / "absent.onnx").code == "KK-F12"


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    assert refusal(kk.load, tmp_path / "pipe.onnx").code == "KK-F12"


def test_other_objects():
    assert refusal(kk.load, 42).code == "KK-M10"


# External data


def external(tmp_path, location="weights.bin", **entries):
    proto = small()
    tensor = proto.graph.initializer[0]
    data = tensor.raw_data
    (tmp_path / "weights.bin").write_bytes(b"HEAD" + data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "4", "length": str(len(data)), **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return write(tmp_path, proto), np.frombuffer(data, np.float32).reshape(3, 4)


def test_external_data_in_the_models_folder(tmp_path):
    path, weights = external(tmp_path)
    np.testing.assert_array_equal(constant(kk.load(path).graph.initializers["fc.weight"]), weights)


@pytest.mark.parametrize(
    ("location", "entries"),
    [
        ("../weights.bin", {}),
        ("/etc/passwd", {}),
        ("sub/../../weights.bin", {}),
        ("link.bin", {}),
        ("folder", {}),
        ("pipe", {}),
        ("", {}),
        ("a\0b", {}),
        ("absent.bin", {}),
        ("weights.bin", {"offset": "-1"}),
        ("weights.bin", {"offset": "1000000"}),
        ("weights.bin", {"length": "49"}),
        ("weights.bin", {"length": "9" * 5000}),
        ("weights.bin", {"offset": "four"}),
    ],
)
def test_external_data_out_of_bounds(tmp_path, location, entries):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(100))
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    path, _ = external(folder, location, **entries)
    assert refusal(kk.load, path).problems[0].code == "KK-M06"
