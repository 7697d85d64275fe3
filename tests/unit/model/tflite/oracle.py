"""LiteRT beside the importer: the same file, the same inputs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from kakuri.model.graph import static_shape
from kakuri.model.importers.tflite.load import convert
from kakuri.model.quantized import integer_values


def litert(data: bytes, feeds: list[np.ndarray]) -> list[np.ndarray]:
    """What LiteRT computes, with its reference kernels where it has them for all operators; states start at zero."""
    try:
        runtime = _runtime(data, OpResolverType.BUILTIN_REF)
    except ValueError:
        runtime = _runtime(data, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    runtime.allocate_tensors()
    runtime.reset_all_variables()
    for detail, array in zip(runtime.get_input_details(), feeds, strict=True):
        runtime.set_tensor(detail["index"], array)
    runtime.invoke()
    return [runtime.get_tensor(detail["index"]) for detail in runtime.get_output_details()]


def _runtime(data: bytes, kind: OpResolverType) -> Interpreter:
    return Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=kind)


def onnx(net: ir.Model, feeds: list[np.ndarray]) -> list[np.ndarray]:
    """What ONNX Runtime computes, without optimising."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = ir.to_proto(net).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, {item.name: array for item, array in zip(session.get_inputs(), feeds, strict=True)})


def integers(net: ir.Model, feeds: list[np.ndarray]) -> list[np.ndarray]:
    """What our integer executor computes."""
    names = [value.name for value in net.graph.outputs]
    values = integer_values(net, feeds, names)
    return [values[name] for name in names]


def feeds_for(net: ir.Model, seed: int = 0) -> list[np.ndarray]:
    """Random inputs of a net: floats in [-1, 1], all levels of 8-bit types, small indices."""
    rng = np.random.default_rng(seed)
    feeds = []
    for value in net.graph.inputs:
        kind, shape = np.dtype(value.dtype.numpy()), static_shape(value)
        if kind == np.float32:
            feeds.append(rng.uniform(-1, 1, shape).astype(kind))
        elif kind == np.bool_:
            feeds.append(rng.integers(0, 2, shape).astype(kind))
        elif kind.itemsize == 1:
            bounds = np.iinfo(kind)
            feeds.append(rng.integers(bounds.min, bounds.max + 1, shape).astype(kind))
        else:
            feeds.append(rng.integers(0, 3, shape).astype(kind))
    return feeds


def agree(data: bytes, *, relative: float = 1e-5, seed: int = 0) -> ir.Model:
    """Check a float file against LiteRT; the net, for more questions."""
    net = convert(data)
    feeds = feeds_for(net, seed)
    for got, expected in zip(onnx(net, feeds), litert(data, feeds), strict=True):
        assert got.shape == expected.shape
        assert got.dtype == expected.dtype
        if expected.dtype.kind == "f":
            bound = relative * max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(got, expected, rtol=0, atol=bound)
        else:
            np.testing.assert_array_equal(got, expected)
    return net


def agree_in_integers(data: bytes, *, seed: int = 0, float_units: int = 1) -> ir.Model:
    """Check a quantised file: integer executor bit for bit, ONNX Runtime within ``float_units``."""
    net = convert(data)
    feeds = feeds_for(net, seed)
    expected = litert(data, feeds)
    for got, wanted in zip(integers(net, feeds), expected, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)
    for got, wanted in zip(onnx(net, feeds), expected, strict=True):
        assert int(np.abs(got.astype(np.int64) - wanted.astype(np.int64)).max(initial=0)) <= float_units
    return net
