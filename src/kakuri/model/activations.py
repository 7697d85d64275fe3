"""Which nodes are activations, and the functions they compute.

Purpose: one table for replacing activations by polynomials and for calibrating their ranges.
Guarantees: each function agrees with the operator's definition in the ONNX operator set.
Does not guarantee: anything for parametrised activations not listed (PRelu's slope is a tensor).
Source: ONNX operators, opset 20; S4, section 5.2 (ReLU and Swish).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.model import polynomials
from kakuri.model.custom_ops import is_polynomial
from kakuri.model.graph import constant, input_of, is_exclusive, is_op, real, required_input, text

Float64 = NDArray[np.float64]
Function = Callable[[Float64], Float64]


@dataclass(frozen=True)
class Activation:
    """An elementwise activation found in a graph: ``function`` of ``source``, its result the output of ``node``."""

    node: ir.Node
    source: ir.Value
    function: Function
    kind: str


def find_activations(net: ir.Model) -> list[Activation]:
    """Every activation of ``net`` in graph order; x * Sigmoid(x), in either order, counts as one Swish."""
    found = [item for node in net.graph if (item := _activation(node)) is not None]
    swishes = {item.source for item in found if item.kind == "swish"}
    return [item for item in found if not (item.kind == "sigmoid" and _only_feeds_swish(item, swishes))]


def activation_inputs(net: ir.Model) -> Iterator[ir.Value]:
    """The values that activations and Polynomial nodes read, each once, in graph order."""
    sources = {item.node: item.source for item in find_activations(net)}
    seen: set[ir.Value] = set()
    for node in net.graph:
        value = sources.get(node) or (required_input(node) if is_polynomial(node) else None)
        if value is not None and value not in seen:
            seen.add(value)
            yield value


def _activation(node: ir.Node) -> Activation | None:
    if is_op(node, "Mul"):
        source = _swish_source(node)
        return None if source is None else Activation(node, source, polynomials.swish, "swish")
    maker = _MAKERS.get(node.op_type) if node.domain == "" else None
    if maker is None:
        return None
    function = maker(node)
    return None if function is None else Activation(node, required_input(node), function, node.op_type.lower())


def _swish_source(node: ir.Node) -> ir.Value | None:
    for source, gate in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        sigmoid = gate.producer() if gate is not None else None
        if source is not None and sigmoid is not None and is_op(sigmoid, "Sigmoid") and sigmoid.inputs[0] is source:
            return source
    return None


def _only_feeds_swish(item: Activation, swishes: set[ir.Value]) -> bool:
    output = item.node.outputs[0]
    return item.source in swishes and is_exclusive(output) and is_op(output.consumers()[0], "Mul")


def _sigmoid(x: Float64) -> Float64:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _leaky(slope: float) -> Function:
    return lambda x: np.where(x < 0, slope * x, x)


def _clip(node: ir.Node) -> Function | None:
    low, high = constant(input_of(node, 1)), constant(input_of(node, 2))
    absent = [input_of(node, index) is None for index in (1, 2)]
    if all(absent) or (low is None and not absent[0]) or (high is None and not absent[1]):
        return None
    bottom = -np.inf if low is None else float(low.reshape(-1)[0])
    top = np.inf if high is None else float(high.reshape(-1)[0])
    return lambda x: np.clip(x, bottom, top)


def _elu(alpha: float, gamma: float = 1.0) -> Function:
    return lambda x: gamma * np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


def _celu(alpha: float) -> Function:
    return lambda x: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))


def _hard_sigmoid(alpha: float, beta: float) -> Function:
    return lambda x: np.clip(alpha * x + beta, 0.0, 1.0)


def _gelu(node: ir.Node) -> Function | None:
    if text(node, "approximate", "none") == "tanh":
        return lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2)))


def _erf(x: Float64) -> Float64:
    return np.asarray([math.erf(item) for item in x.reshape(-1)], dtype=np.float64).reshape(x.shape)


def _softplus(x: Float64) -> Float64:
    return np.logaddexp(0.0, x)


_MAKERS: dict[str, Callable[[ir.Node], Function | None]] = {
    "Relu": lambda _: polynomials.relu,
    "LeakyRelu": lambda node: _leaky(real(node, "alpha", 0.01)),
    "Sigmoid": lambda _: _sigmoid,
    "Tanh": lambda _: np.tanh,
    "Clip": _clip,
    "Elu": lambda node: _elu(real(node, "alpha", 1.0)),
    "Celu": lambda node: _celu(real(node, "alpha", 1.0)),
    "Selu": lambda node: _elu(
        real(node, "alpha", 1.67326319217681884765625), real(node, "gamma", 1.05070102214813232421875)
    ),
    "HardSigmoid": lambda node: _hard_sigmoid(real(node, "alpha", 0.2), real(node, "beta", 0.5)),
    "HardSwish": lambda _: lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0),
    "Mish": lambda _: lambda x: x * np.tanh(_softplus(x)),
    "Gelu": _gelu,
    "Softplus": lambda _: _softplus,
    "Softsign": lambda _: lambda x: x / (1 + np.abs(x)),
}
