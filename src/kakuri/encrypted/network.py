"""The network as the encrypted compiler sees it: a list of typed layers in topological order.

Purpose: lower a normalised ``onnx_ir.Model`` (after the passes of ``encrypted.prepare``) to six kinds of layer.
Guarantees: any acyclic graph with one input and one output, not only chains; weights are float64 copies.
Does not guarantee: that a layer can be packed; the packings refuse what they cannot lay out, by layer name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError, Problem

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """name: ONNX node name. inputs, output: value names. shape: of the output, without the batch axis."""

    name: str
    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Convolution(Layer):
    """weight: (out, in, kh, kw) float64 with groups expanded to zeros. pads: top, left, bottom, right."""

    weight: Float64
    bias: Float64
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]


@dataclass(frozen=True)
class Dense(Layer):
    """weight: (out, in) float64 over the input flattened in (channel, row, column) order. bias: (out,)."""

    weight: Float64
    bias: Float64


@dataclass(frozen=True)
class Pool(Layer):
    """Window sums divided by ``divisor`` (1.0 when the divisor was folded away)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    divisor: float


@dataclass(frozen=True)
class Polynomial(Layer):
    """coefficients: ascending, float64."""

    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Sum(Layer):
    """Elementwise sum of two or more inputs of one shape."""


@dataclass(frozen=True)
class Flatten(Layer):
    """(c, h, w) to (c*h*w,); free, since layouts are maps from elements to slots."""


@dataclass(frozen=True)
class Network:
    """input_shape: without the batch axis, (c, h, w) or (features,)."""

    input_name: str
    input_shape: tuple[int, ...]
    output_name: str
    output_shape: tuple[int, ...]
    layers: tuple[Layer, ...]

    def value_names(self) -> list[str]:
        return [self.input_name, *(layer.output for layer in self.layers)]


def lower(net: ir.Model) -> Network:
    """Typed layers of ``net``. Raises KakuriError (KK-E01..E03) with every unsupported node at once."""
    graph = net.graph
    constants = {name: value.const_value.numpy() for name, value in graph.initializers.items() if value.const_value}
    inputs = [value for value in graph.inputs if value.name not in constants]
    if len(inputs) != 1 or len(graph.outputs) != 1:
        raise KakuriError(
            "KK-E01",
            "the network must have one input and one output",
            got=f"{len(inputs)} inputs, {len(graph.outputs)} outputs",
            hint="export the part of the model between one image and one answer",
        )
    reader = _Reader(constants)
    layers = [layer for node in graph if (layer := reader.layer(node)) is not None]
    if reader.problems:
        raise KakuriError.collect(reader.problems)
    return Network(
        input_name=str(inputs[0].name),
        input_shape=_shape(inputs[0]),
        output_name=reader.resolve(str(graph.outputs[0].name)),
        output_shape=_shape(graph.outputs[0]),
        layers=tuple(layers),
    )


def _shape(value: ir.Value) -> tuple[int, ...]:
    shape = value.shape
    if shape is None or any(not isinstance(d, int) for d in tuple(shape)[1:]):
        raise KakuriError(
            "KK-E02", "the shape is not static", where=value.name, got=shape, hint="export with fixed sizes"
        )
    return tuple(int(d) for d in tuple(shape)[1:])  # type: ignore[arg-type]


class _Reader:
    """Reads one node at a time; collects problems instead of stopping at the first."""

    def __init__(self, constants: dict[str, NDArray[np.generic]]) -> None:
        self.constants = constants
        self.problems: list[Problem] = []
        self.alias: dict[str, str] = {}

    def resolve(self, name: str) -> str:
        while name in self.alias:
            name = self.alias[name]
        return name

    def layer(self, node: ir.Node) -> Layer | None:
        read = getattr(self, f"_read_{node.op_type.lower()}", None)
        if read is None or node.domain not in ("", "ai.onnx", "kakuri"):
            self._refuse(node, f"operator {node.op_type} cannot run on ciphertexts", "see `kakuri check encrypted`")
            return None
        layer: Layer | None = read(node)
        return layer

    def _refuse(self, node: ir.Node, what: str, hint: str) -> None:
        self.problems.append(Problem("KK-E03", what, where=str(node.name), hint=hint))

    def _common(self, node: ir.Node, count: int | None = 1) -> tuple[str, tuple[str, ...], str, tuple[int, ...]]:
        used = node.inputs if count is None else node.inputs[:count]
        inputs = tuple(self.resolve(str(value.name)) for value in used if value is not None)
        output = node.outputs[0]
        return str(node.name), inputs, str(output.name), _shape(output)

    def _constant(self, node: ir.Node, index: int) -> Float64 | None:
        if index >= len(node.inputs) or node.inputs[index] is None:
            return None
        name = str(node.inputs[index].name)  # type: ignore[union-attr]
        if name not in self.constants:
            self._refuse(node, f"input {index} ({name}) must be a constant", "weights cannot be computed at run time")
            return None
        return np.asarray(self.constants[name], dtype=np.float64)

    def _ints(self, node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        attribute = node.attributes.get(name)
        return default if attribute is None else tuple(int(i) for i in attribute.as_ints())

    def _pads(self, node: ir.Node) -> tuple[int, int, int, int]:
        automatic = node.attributes.get("auto_pad")
        if automatic is not None and automatic.as_string() not in ("NOTSET", "VALID"):
            self._refuse(node, f"auto_pad {automatic.as_string()} is not explicit", "load the model with kk.load")
        top, left, bottom, right = self._ints(node, "pads", (0, 0, 0, 0))
        return top, left, bottom, right

    def _read_conv(self, node: ir.Node) -> Layer | None:
        weight = self._constant(node, 1)
        if weight is None:
            return None
        if weight.ndim != 4:
            self._refuse(node, f"only 2-D convolutions, this one has {weight.ndim - 2} axes", "reshape to 2-D")
            return None
        group = node.attributes.get("group")
        groups = 1 if group is None else int(group.as_int())
        bias = self._constant(node, 2)
        strides = self._ints(node, "strides", (1, 1))
        dilations = self._ints(node, "dilations", (1, 1))
        return Convolution(
            *self._common(node),
            weight=_expand_groups(weight, groups),
            bias=np.zeros(len(weight)) if bias is None else bias,
            strides=(strides[0], strides[1]),
            pads=self._pads(node),
            dilations=(dilations[0], dilations[1]),
        )

    def _read_gemm(self, node: ir.Node) -> Layer | None:
        weight = self._constant(node, 1)
        if weight is None:
            return None
        alpha, beta, trans_a, trans_b = (
            float(node.attributes[key].value) if key in node.attributes else default
            for key, default in (("alpha", 1.0), ("beta", 1.0), ("transA", 0.0), ("transB", 0.0))
        )
        if trans_a:
            self._refuse(node, "transA is set", "transpose the weight instead")
        weight = alpha * (weight if trans_b else weight.T)
        bias = self._constant(node, 2)
        full = np.zeros(len(weight)) if bias is None else beta * np.broadcast_to(bias.reshape(-1), (len(weight),))
        return Dense(*self._common(node), weight=weight, bias=full)

    def _read_averagepool(self, node: ir.Node) -> Layer | None:
        kernel = self._ints(node, "kernel_shape", ())
        pads = self._pads(node)
        include = node.attributes.get("count_include_pad")
        if any(pads) and not (include is not None and include.as_int()):
            self._refuse(node, "padding that is left out of the average", "set count_include_pad=1")
        return self._pool(node, kernel, pads, float(np.prod(kernel)))

    def _read_sumpool(self, node: ir.Node) -> Layer | None:
        return self._pool(node, self._ints(node, "kernel_shape", ()), self._pads(node), 1.0)

    def _pool(self, node: ir.Node, kernel: tuple[int, ...], pads: tuple[int, int, int, int], divisor: float) -> Layer:
        ceil = node.attributes.get("ceil_mode")
        if ceil is not None and ceil.as_int():
            self._refuse(node, "ceil_mode is set", "export with ceil_mode=False")
        strides = self._ints(node, "strides", (1, 1))
        return Pool(
            *self._common(node),
            kernel=(kernel[0], kernel[1]),
            strides=(strides[0], strides[1]),
            pads=pads,
            divisor=divisor,
        )

    def _read_polynomial(self, node: ir.Node) -> Layer | None:
        values = np.asarray(node.attributes["coefficients"].as_tensor().numpy(), dtype=np.float64)
        return Polynomial(*self._common(node), coefficients=tuple(float(c) for c in values))

    def _read_add(self, node: ir.Node) -> Layer | None:
        common = self._common(node, None)
        if any(name in self.constants for name in common[1]):
            self._refuse(node, "adds a constant outside a polynomial", "fold it into the bias of the layer before")
            return None
        return Sum(*common)

    _read_sum = _read_add

    def _read_flatten(self, node: ir.Node) -> Layer | None:
        return Flatten(*self._common(node))

    def _read_reshape(self, node: ir.Node) -> Layer | None:
        name, inputs, output, shape = self._common(node)
        if len(shape) != 1:
            self._refuse(node, f"reshape to {shape}", "only flattening is free on ciphertexts")
            return None
        return Flatten(name, inputs, output, shape)

    def _read_identity(self, node: ir.Node) -> Layer | None:
        self.alias[str(node.outputs[0].name)] = str(node.inputs[0].name)  # type: ignore[union-attr]
        return None


def _expand_groups(weight: Float64, groups: int) -> Float64:
    """(out, in/groups, kh, kw) to (out, in, kh, kw): other groups' taps are exact zeros, which cost nothing."""
    if groups == 1:
        return weight
    outputs, per_group, kh, kw = weight.shape
    full = np.zeros((outputs, per_group * groups, kh, kw))
    for o in range(outputs):
        g = o // (outputs // groups)
        full[o, g * per_group : (g + 1) * per_group] = weight[o]
    return full
