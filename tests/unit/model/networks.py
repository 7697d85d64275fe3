"""Random small networks (hypothesis), written in the spellings that exporters use, for property tests of passes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

from tests.unit.model.builders import model


@dataclass
class Net:
    """A network under construction: ``shape`` is that of ``value``, the newest one."""

    rng: np.random.Generator
    shape: tuple[int, ...]
    value: str = "x"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def constant(self, array: np.ndarray) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = array
        return name

    def weights(self, *shape: int) -> str:
        fan_in = max(1, int(np.prod(shape[1:])))
        return self.constant((self.rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32))

    def scalar(self, number: float) -> str:
        return self.constant(np.float32(number))

    def add(self, op_type: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=f"layer{len(self.nodes)}", **attributes))
        return name


def _conv(net: Net, draw: st.DrawFn) -> None:
    _, channels, height, width = net.shape
    group = draw(st.sampled_from([g for g in (1, 2, 4) if channels % g == 0]))
    out = group * draw(st.integers(1, 3))
    kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    span = (kernel - 1) * dilation + 1
    if span > min(height, width):
        kernel = dilation = span = 1
    stride, pads = draw(st.integers(1, 2)), [draw(st.integers(0, 2)) for _ in range(4)]
    inputs = [net.value, net.weights(out, channels // group, kernel, kernel)]
    if draw(st.booleans()):
        inputs.append(net.weights(out))
    attributes = {"group": group, "dilations": [dilation] * 2, "strides": [stride] * 2}
    if dilation == 1 and draw(st.booleans()):
        attributes["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER"]))
        sizes = [-(-size // stride) for size in (height, width)]
    else:
        attributes["pads"] = pads
        sizes = [(size + pads[i] + pads[i + 2] - span) // stride + 1 for i, size in enumerate((height, width))]
    net.value, net.shape = net.add("Conv", *inputs, **attributes), (1, out, *sizes)


def _batchnorm(net: Net, draw: st.DrawFn) -> None:
    channels = net.shape[1]
    parameters = [net.weights(channels) for _ in range(3)]
    variance = net.constant((net.rng.random(channels) + 0.5).astype(np.float32))
    net.value = net.add("BatchNormalization", net.value, *parameters, variance, epsilon=1e-5)


def _activation(net: Net, draw: st.DrawFn) -> None:
    x = net.value
    match draw(st.sampled_from(["square", "pow", "horner", "relu", "silu"])):
        case "square":
            net.value = net.add("Mul", x, x)
        case "pow":
            net.value = net.add("Add", net.add("Mul", net.add("Pow", x, net.scalar(2.0)), net.scalar(-0.25)), x)
        case "horner":
            inner = net.add("Add", net.add("Mul", x, net.scalar(0.125)), net.scalar(0.5))
            net.value = net.add("Sub", net.add("Mul", inner, x), net.scalar(0.25))
        case "relu":
            net.value = net.add("Relu", x)
        case _:
            net.value = net.add("Mul", net.add("Sigmoid", x), x)


def _pool(net: Net, draw: st.DrawFn) -> None:
    _, channels, height, width = net.shape
    kernel = draw(st.integers(1, min(3, height, width)))
    stride = draw(st.integers(1, 2))
    pad = draw(st.integers(0, kernel - 1)) if kernel > 1 else 0
    sizes = [(size + 2 * pad - kernel) // stride + 1 for size in (height, width)]
    net.value = net.add(
        "AveragePool",
        net.value,
        kernel_shape=[kernel] * 2,
        strides=[stride] * 2,
        pads=[pad] * 4,
        count_include_pad=draw(st.integers(0, 1)),
    )
    net.shape = (1, channels, *sizes)


def _residual(net: Net, draw: st.DrawFn) -> None:
    channels = net.shape[1]
    start = net.value
    weight = net.weights(channels, channels, 3, 3)
    branch = net.add("Conv", start, weight, pads=[1, 1, 1, 1])
    if draw(st.booleans()):
        branch = net.add("Mul", branch, branch)
    if draw(st.booleans()):  # the same weights once more
        start = net.add("Conv", start, weight, pads=[1, 1, 1, 1])
    net.value = net.add("Add", branch, start)


def _bias(net: Net, draw: st.DrawFn) -> None:
    net.value = net.add("Add", net.weights(net.shape[1], 1, 1), net.value)


_LAYERS = (_conv, _conv, _batchnorm, _activation, _activation, _pool, _residual, _bias)


def _head(net: Net, draw: st.DrawFn) -> None:
    channels = net.shape[1]
    features = int(np.prod(net.shape[1:]))
    match draw(st.sampled_from(["flatten", "reshape", "global", "mean", "mean-flat"])):
        case "flatten":
            flat = net.add("Flatten", net.value)
        case "reshape":
            flat = net.add("Reshape", net.value, net.constant(np.array([1, -1])))
        case "global":
            pooled = net.add("GlobalAveragePool", net.value)
            flat, features = net.add("Squeeze", pooled, net.constant(np.array([2, 3]))), channels
        case "mean":
            pooled = net.add("ReduceMean", net.value, net.constant(np.array([-1, -2])), keepdims=1)
            flat, features = net.add("Flatten", pooled), channels
        case _:
            flat = net.add("ReduceMean", net.value, net.constant(np.array([2, 3])), keepdims=0)
            features = channels
    if draw(st.booleans()):
        product = net.add("MatMul", flat, net.weights(features, 3))
        net.value = net.add("Add", product, net.weights(3))
    elif draw(st.booleans()):
        net.value = net.add("Gemm", flat, net.weights(features, 3), net.weights(1, 3), alpha=0.5, beta=2.0)
    else:
        net.value = net.add("Gemm", flat, net.weights(3, features), transB=1)


@st.composite
def networks(draw: st.DrawFn) -> onnx.ModelProto:
    """A valid model: input x (1, C, H, W), output y (1, 3)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (1, draw(st.sampled_from([1, 2, 4])), draw(st.integers(5, 9)), draw(st.integers(5, 9)))
    net = Net(rng, shape)
    for _ in range(draw(st.integers(1, 6))):
        draw(st.sampled_from(_LAYERS))(net, draw)
    _head(net, draw)
    net.nodes[-1].output[0] = "y"
    return model(net.nodes, {"x": shape}, ["y"], net.constants)


def sample(proto: onnx.ModelProto, batch: int = 1) -> np.ndarray:
    """Standard normal inputs of the model's shape."""
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(7).standard_normal([batch, *shape[1:]]).astype(np.float32)
