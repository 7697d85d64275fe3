"""Small ONNX models for tests, built with ONNX's own helpers and not with the code under test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kakuri.model.importers.onnx import normalize, parse
from kakuri.model.limits import Limits


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sequence[int | str]],
    outputs: Sequence[str],
    constants: dict[str, np.ndarray] | None = None,
    *,
    opset: int = 20,
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, dtype, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def loaded(proto: onnx.ModelProto):
    """The model in normal form, as ``load`` gives it for a file with these bytes."""
    return normalize(parse(proto.SerializeToString()), Limits())


def run(proto_or_net, inputs: np.ndarray) -> np.ndarray:
    """ONNX Runtime's first output on the whole batch at once, for a model of standard operators."""
    return run_all(proto_or_net, inputs)[0]


def run_all(proto_or_net, inputs: np.ndarray) -> list[np.ndarray]:
    import onnx_ir as ir
    import onnxruntime

    proto = proto_or_net if isinstance(proto_or_net, onnx.ModelProto) else ir.to_proto(proto_or_net)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})


def seeds() -> list[bytes]:
    """Small valid models that together use most of what the importer treats specially."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    node = helper.make_node
    conv_net = model(
        [
            node("Conv", ["x", "conv1.weight", "conv1.bias"], ["c"], name="conv1", strides=[2, 2], pads=[1, 1, 1, 1]),
            node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"], name="bn1"),
            node("Sigmoid", ["n"], ["s"]),
            node("Mul", ["n", "s"], ["a"]),
            node("AveragePool", ["a"], ["p"], kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
            node("Shape", ["p"], ["shape"]),
            node("Gather", ["shape", "zero"], ["batch"]),
            node("Unsqueeze", ["batch", "zero1"], ["batch1"]),
            node("Concat", ["batch1", "minus1"], ["target"], axis=0),
            node("Reshape", ["p", "target"], ["flat"]),
            node("MatMul", ["flat", "fc.weight"], ["y0"]),
            node("Add", ["y0", "fc.bias"], ["y"]),
        ],
        {"x": ["N", 2, 6, 6]},
        ["y"],
        {
            "conv1.weight": weights(3, 2, 3, 3),
            "conv1.bias": weights(3),
            "g": weights(3),
            "b": weights(3),
            "m": weights(3),
            "v": np.abs(weights(3)),
            "zero": np.int64(0),
            "zero1": np.zeros(1, np.int64),
            "minus1": np.array([-1]),
            "fc.weight": weights(27, 4),
            "fc.bias": weights(4),
        },
    )
    old = model(
        [
            node("ConstantOfShape", ["dims"], ["w"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5])),
            node("Conv", ["x", "w"], ["c"], group=2),
            node("Clip", ["c"], ["r"], min=0.0, max=6.0),
            node("Dropout", ["r"], ["d", "mask"], ratio=0.5),
            node("Pad", ["d"], ["q"], pads=[0, 0, 1, 1, 0, 0, 1, 1]),
            node("Slice", ["q"], ["l"], starts=[0, 0], ends=[4, 4], axes=[2, 3]),
            node("ReduceMean", ["l"], ["m"], axes=[2, 3], keepdims=0),
            node("Unsqueeze", ["m"], ["u"], axes=[2]),
            node("Squeeze", ["u"], ["t"], axes=[2]),
            node("Softmax", ["t"], ["y"]),
        ],
        {"x": [1, 2, 5, 5]},
        ["y"],
        {"dims": np.array([4, 1, 2, 2])},
        opset=9,
    )
    arithmetic = model(
        [
            node("Constant", [], ["two"], value_float=2.0),
            node("Pow", ["x", "two"], ["square"]),
            node("Range", ["start", "limit", "delta"], ["steps"]),
            node("Cast", ["steps"], ["ramp"], to=TensorProto.FLOAT),
            node("Expand", ["ramp", "target"], ["wide"]),
            node("Split", ["square"], ["left", "right"], axis=1, num_outputs=2),
            node("Transpose", ["left"], ["turned"], perm=[0, 1, 3, 2]),
            node("Sub", ["turned", "right"], ["difference"]),
            node("Mul", ["difference", "wide"], ["y"]),
            node("Tile", ["one", "repeats"], ["tiled"]),
            node("Add", ["x", "tiled"], ["z"]),
        ],
        {"x": [1, 2, 3, 3]},
        ["y", "z"],
        {
            "start": np.int64(0),
            "limit": np.int64(3),
            "delta": np.int64(1),
            "target": np.array([1, 1, 3, 3]),
            "one": np.ones((1, 1, 1, 1), np.float32),
            "repeats": np.array([1, 2, 3, 3]),
        },
    )
    return [proto.SerializeToString() for proto in (conv_net, old, arithmetic)]
