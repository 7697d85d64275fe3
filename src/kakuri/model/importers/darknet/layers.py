"""Darknet's layers: their output shapes, their numbers in the weights file, and their ONNX nodes.

Purpose: one rule per kind of section; a rule plans (shapes and counts only) and its plan emits nodes.
Guarantees: a plan allocates nothing; batch normalisation is folded in float64 into the layer that owns it, with
    Darknet's own epsilon (1e-6 added to the standard deviation, not to the variance).
Does not guarantee: every kind of Darknet layer; ``RULES`` lists those there are.
Source: behaviour of Darknet's inference; shapes are (channels, height, width) or (features,).
Errors: KK-M41 an option, KK-M42 layers that do not fit each other, KK-M43 not supported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.importers.darknet.cfg import Section
from kakuri.model.importers.darknet.graph import GraphWriter

Float32 = NDArray[np.float32]
Shape = tuple[int, ...]
Emit = Callable[[GraphWriter, str, Mapping[str, Float32]], str]
_EPSILON = 1e-6
_MAX = 1 << 24


@dataclass(frozen=True)
class Planned:
    """output: shape without the batch axis. parameters: (name, shape) in the order of the weights file.

    emit: writes nodes for an input value and the parameters' arrays, and returns the name of the output value.
    transposable: whether old files hold ``weights`` with inputs first.
    """

    output: Shape
    emit: Emit
    parameters: tuple[tuple[str, Shape], ...] = ()
    transposable: bool = False


@dataclass(frozen=True)
class Place:
    """Where a layer stands: its section and number, its input's shape, and the outputs of the layers before it."""

    section: Section
    index: int
    input: Shape
    outputs: Sequence[Shape]

    def image(self) -> tuple[int, int, int]:
        """(channels, height, width) of the input. Raises KK-M42 for a vector."""
        if len(self.input) != 3:
            raise self.misfit("the layer before it must give an image", f"{self.input}", "(channels, height, width)")
        return self.input[0], self.input[1], self.input[2]

    def other(self, name: str, number: int) -> int:
        """The layer that ``number`` means: absolute, or relative when negative. Raises KK-M42 unless it is before."""
        index = self.index + number if number < 0 else number
        if not 0 <= index < self.index:
            raise self.misfit(f"option {name!r} names no layer before this one", f"{number}", f"0 ... {self.index - 1}")
        return index

    def misfit(self, what: str, got: str = "", limit: str = "") -> KakuriError:
        return KakuriError("KK-M42", what, where=self.section.where, got=got, limit=limit)

    def unsupported(self, name: str, got: str, limit: str) -> KakuriError:
        return KakuriError(
            "KK-M43", f"option {name!r} is not supported", where=self.section.where, got=got, limit=limit
        )


_ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "elu": ("Elu", {}),
    "leaky": ("LeakyRelu", {"alpha": 0.1}),
    "linear": ("", {}),
    "logistic": ("Sigmoid", {}),
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
}


def _activation(place: Place, default: str) -> tuple[str, dict[str, float]]:
    name = place.section.choice("activation", default)
    if name not in _ACTIVATIONS:
        raise place.unsupported("activation", ascii(name)[:40], ", ".join(_ACTIVATIONS))
    return _ACTIVATIONS[name]


def _refuse_options(place: Place, plain: Mapping[str, int]) -> None:
    """Raises KK-M43 when an option has another value than the one that changes nothing."""
    for name, value in plain.items():
        if place.section.integer(name, value, -_MAX, _MAX) != value:
            raise place.unsupported(name, place.section.options[name], str(value))


def _folded(arrays: Mapping[str, Float32]) -> tuple[Float32, Float32]:
    """(weights, biases) with batch normalisation, where there is one, multiplied in."""
    weights, biases = arrays["weights"], arrays["biases"]
    if "scales" not in arrays:
        return weights, biases
    spread = np.sqrt(np.maximum(arrays["variance"].astype(np.float64), 0.0)) + _EPSILON
    scale = arrays["scales"].astype(np.float64) / spread
    shift = biases.astype(np.float64) - scale * arrays["mean"].astype(np.float64)
    scaled = weights.astype(np.float64) * scale.reshape(-1, *[1] * (weights.ndim - 1))
    return scaled.astype(np.float32), shift.astype(np.float32)


def _normalisation(count: int) -> tuple[tuple[str, Shape], ...]:
    return tuple((name, (count,)) for name in ("scales", "mean", "variance"))


def _windows(place: Place, size: int, stride: int, padding: int) -> tuple[int, int]:
    """(height, width) after windows over ``padding`` extra rows and columns in all."""
    _, height, width = place.image()
    if min(height, width) + padding < size:
        raise place.misfit("the window is larger than its input", f"size {size}", f"{min(height, width) + padding}")
    return (height + padding - size) // stride + 1, (width + padding - size) // stride + 1


def convolutional(place: Place) -> Planned:
    """File order: biases, [scales, mean, variance,] weights (filters, channels / groups, size, size)."""
    section, (channels, _, _) = place.section, place.image()
    filters, size = section.integer("filters", 1, 1, _MAX), section.integer("size", 1, 1, 4096)
    stride, groups = section.integer("stride", 1, 1, 4096), section.integer("groups", 1, 1, _MAX)
    padding = size // 2 if section.integer("pad", 0, 0, 1) else section.integer("padding", 0, 0, 4096)
    _refuse_options(place, {"binary": 0, "xnor": 0, "flipped": 0, "dilation": 1, "antialiasing": 0})
    _refuse_options(place, {"stride_x": stride, "stride_y": stride})
    activation = _activation(place, "logistic")
    if channels % groups or filters % groups:
        raise place.misfit(
            "channels and filters must be multiples of the groups", f"{channels}, {filters}", f"{groups}"
        )
    normalised = section.integer("batch_normalize", 0, 0, 1) == 1

    def emit(graph: GraphWriter, x: str, arrays: Mapping[str, Float32]) -> str:
        weights, biases = _folded(arrays)
        inputs = [x, graph.constant("weight", weights), graph.constant("bias", biases)]
        y = graph.node("Conv", inputs, pads=[padding] * 4, strides=[stride, stride], group=groups)
        return graph.activation(y, *activation)

    return Planned(
        (filters, *_windows(place, size, stride, 2 * padding)),
        emit,
        (
            ("biases", (filters,)),
            *(_normalisation(filters) if normalised else ()),
            ("weights", (filters, channels // groups, size, size)),
        ),
    )


def connected(place: Place) -> Planned:
    """All inputs to all outputs; file order: biases, weights (outputs, inputs)[, scales, mean, variance]."""
    outputs = place.section.integer("output", 1, 1, _MAX)
    activation = _activation(place, "logistic")
    normalised = place.section.integer("batch_normalize", 0, 0, 1) == 1
    flat = len(place.input) == 1

    def emit(graph: GraphWriter, x: str, arrays: Mapping[str, Float32]) -> str:
        weights, biases = _folded(arrays)
        vector = x if flat else graph.node("Flatten", [x], axis=1)
        inputs = [vector, graph.constant("weight", weights), graph.constant("bias", biases)]
        return graph.activation(graph.node("Gemm", inputs, transB=1), *activation)

    return Planned(
        (outputs,),
        emit,
        (
            ("biases", (outputs,)),
            ("weights", (outputs, math.prod(place.input))),
            *(_normalisation(outputs) if normalised else ()),
        ),
        transposable=True,
    )


def maxpool(place: Place) -> Planned:
    """``padding`` counts both sides together; the first side gets the smaller half."""
    section, (channels, _, _) = place.section, place.image()
    stride = section.integer("stride", 1, 1, 4096)
    size = section.integer("size", stride, 1, 4096)
    padding = section.integer("padding", size - 1, 0, 2 * (size - 1))
    _refuse_options(place, {"stride_x": stride, "stride_y": stride, "maxpool_depth": 0, "antialiasing": 0})
    before, after = padding // 2, padding - padding // 2

    def emit(graph: GraphWriter, x: str, _: Mapping[str, Float32]) -> str:
        pads = [before, before, after, after]
        return graph.node("MaxPool", [x], kernel_shape=[size, size], strides=[stride, stride], pads=pads)

    return Planned((channels, *_windows(place, size, stride, padding)), emit)


def avgpool(place: Place) -> Planned:
    """The mean of every channel."""
    channels, _, _ = place.image()
    return Planned((channels, 1, 1), lambda graph, x, _: graph.node("GlobalAveragePool", [x]))


def softmax(place: Place) -> Planned:
    """Over all inputs, divided by the temperature first."""
    _refuse_options(place, {"groups": 1, "spatial": 0})
    if "tree" in place.section.options:
        raise place.unsupported("tree", "a file", "none")
    temperature, flat = place.section.real("temperature", 1.0), len(place.input) == 1
    if not temperature > 0:
        raise place.unsupported("temperature", f"{temperature}", "above 0")

    def emit(graph: GraphWriter, x: str, _: Mapping[str, Float32]) -> str:
        vector = x if flat else graph.node("Flatten", [x], axis=1)
        if temperature != 1.0:
            vector = graph.node("Div", [vector, graph.constant("temperature", np.array([temperature], np.float32))])
        return graph.node("Softmax", [vector], axis=1)

    return Planned((math.prod(place.input),), emit)


def passing(place: Place) -> Planned:
    """Dropout and cost change nothing at inference time, but they count as layers."""
    return Planned(place.input, lambda _, x, __: x)


def route(place: Place) -> Planned:
    """The outputs of earlier layers, one behind the other along the channels."""
    _refuse_options(place, {"groups": 1, "group_id": 0})
    layers = [place.other("layers", number) for number in place.section.integers("layers", 64)]
    shapes = [place.outputs[index] for index in layers]
    if len({shape[1:] for shape in shapes}) > 1:
        raise place.misfit("the joined layers differ in height or width", " and ".join(map(str, shapes)))

    def emit(graph: GraphWriter, _: str, __: Mapping[str, Float32]) -> str:
        values = [graph.outputs[index] for index in layers]
        return values[0] if len(values) == 1 else graph.node("Concat", values, axis=1)

    return Planned((sum(shape[0] for shape in shapes), *shapes[0][1:]), emit)


def shortcut(place: Place) -> Planned:
    """The input plus an earlier output of the same shape."""
    numbers = place.section.integers("from", 64)
    if len(numbers) > 1:
        raise place.unsupported("from", f"{len(numbers)} layers", "one layer")
    for name in ("alpha", "beta"):
        if place.section.real(name, 1.0) != 1.0:
            raise place.unsupported(name, place.section.options[name], "1")
    index = place.other("from", numbers[0])
    activation = _activation(place, "linear")
    if place.outputs[index] != place.input:
        raise place.misfit("the added layers differ in shape", f"{place.outputs[index]}", f"{place.input}")
    return Planned(
        place.input,
        lambda graph, x, _: graph.activation(graph.node("Add", [x, graph.outputs[index]]), *activation),
    )


RULES: Mapping[str, Callable[[Place], Planned]] = {
    "avg": avgpool,
    "avgpool": avgpool,
    "conn": connected,
    "connected": connected,
    "conv": convolutional,
    "convolutional": convolutional,
    "cost": passing,
    "dropout": passing,
    "max": maxpool,
    "maxpool": maxpool,
    "route": route,
    "shortcut": shortcut,
    "soft": softmax,
    "softmax": softmax,
}
