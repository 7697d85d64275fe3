"""A model in normal form as a trainable torch module, without pickle.

Purpose: ``to_torch(net)``; the way back is ``weights_of(module)``, by the names that the ONNX file uses.
Requires: the extra ``kakuri[torch]``; one input, one output, static shapes with batch axis 1.
Guarantees: the module takes any batch size and computes what ONNX Runtime computes, up to float rounding (tested per
operator); every floating-point initializer of two or more elements that an operator reads as data is a parameter,
batch-norm statistics are buffers and stay as they are unless ``learns_statistics`` is set.
Does not guarantee: operators outside ``_OPERATORS``; they are all named together in one refusal (KK-M40).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn import functional

from kakuri.errors import KakuriError, Problem
from kakuri.model.graph import constant, integer, ints, real, text
from kakuri.model.passes.normalize_linear import normalize_linear

Operator: TypeAlias = Callable[[ir.Node, "list[Any]"], Tensor]


class GraphModule(nn.Module):
    """Runs the nodes in order. ``initializer_names``: parameter or buffer name -> name in the ONNX model.

    learns_statistics: in training mode, batch normalisation takes its batch's statistics and moves its own by a tenth.
    """

    learns_statistics = False

    def __init__(self, net: ir.Model) -> None:
        super().__init__()
        self._nodes = list(net.graph)
        self._input, self._output = net.graph.inputs[0].name or "", net.graph.outputs[0].name or ""
        self.initializer_names: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self._fixed: dict[str, np.ndarray[Any, Any]] = {}
        for name, value in net.graph.initializers.items():
            array = constant(value)
            assert array is not None
            if not np.issubdtype(array.dtype, np.floating):
                self._fixed[name] = array
                continue
            own = f"w{len(self._held)}"
            tensor = torch.from_numpy(array.copy())
            if array.size > 1 and not _is_statistic(value):
                self.register_parameter(own, nn.Parameter(tensor))
            else:
                self.register_buffer(own, tensor)
            self.initializer_names[own] = name
            self._held[name] = own
        last = {value.name: at for at, node in enumerate(self._nodes) for value in node.inputs if value is not None}
        #: For each node, the values that no later one reads: kept, they would be most of a step's memory.
        self._done: list[list[str]] = [[] for _ in self._nodes]
        for value_name, at in last.items():
            if value_name != self._output:
                self._done[at].append(value_name or "")

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Any] = {self._input: x}
        for node, done in zip(self._nodes, self._done, strict=True):
            arguments = [None if value is None else self._value(value.name or "", values) for value in node.inputs]
            normalizes = self.learns_statistics and self.training and node.op_type == "BatchNormalization"
            operator = _batch_norm_in_training if normalizes else _OPERATORS[node.op_type]
            values[node.outputs[0].name or ""] = operator(node, arguments)
            del arguments
            for name in done:
                values.pop(name, None)
        result: Tensor = values[self._output]
        return result

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        if name in values:
            return values[name]
        return getattr(self, self._held[name]) if name in self._held else self._fixed[name]


def to_torch(net: ir.Model) -> GraphModule:
    """Raises KK-M40 that names every operator without a torch form, KK-M16 unless one input and one output."""
    if len(net.graph.inputs) != 1 or len(net.graph.outputs) != 1:
        raise KakuriError("KK-M16", "to_torch needs a model with one input and one output")
    net = normalize_linear(net)
    missing = [
        Problem("KK-M40", f"{node.op_type} has no trainable form", where=f"node {node.name!r}")
        for node in net.graph
        if node.domain != "" or node.op_type not in _OPERATORS or len(node.outputs) != 1
    ]
    if missing:
        raise KakuriError.collect(missing)
    return GraphModule(net)


def weights_of(module: GraphModule) -> dict[str, np.ndarray[Any, Any]]:
    """Initializer name -> array, of every parameter."""
    return {module.initializer_names[own]: value.detach().numpy().copy() for own, value in module.named_parameters()}


def _is_statistic(value: ir.Value) -> bool:
    return any(use.node.op_type == "BatchNormalization" and use.idx >= 3 for use in value.uses())


def _convolution(node: ir.Node, a: list[Any]) -> Tensor:
    x, weight, bias = a[0], a[1], a[2] if len(a) > 2 else None
    spatial = weight.ndim - 2
    x, padding = _padded(node, x, spatial, 0.0)
    function: Any = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[spatial]
    result: Tensor = function(
        x,
        weight,
        bias,
        stride=ints(node, "strides", (1,) * spatial),
        padding=padding,
        dilation=ints(node, "dilations", (1,) * spatial),
        groups=integer(node, "group", 1),
    )
    return result


def _padded(node: ir.Node, x: Tensor, spatial: int, fill: float) -> tuple[Tensor, tuple[int, ...]]:
    """Symmetric padding is left to the operator; other padding is done here."""
    pads = ints(node, "pads", (0,) * (2 * spatial))
    before, after = pads[:spatial], pads[spatial:]
    if before == after:
        return x, before
    flat = [amount for axis in reversed(range(spatial)) for amount in (before[axis], after[axis])]
    return functional.pad(x, flat, value=fill), (0,) * spatial


def _max_pool(node: ir.Node, a: list[Any]) -> Tensor:
    kernel = ints(node, "kernel_shape")
    x, padding = _padded(node, a[0], len(kernel), float("-inf"))
    function: Any = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}[len(kernel)]
    result: Tensor = function(
        x,
        kernel,
        stride=ints(node, "strides", (1,) * len(kernel)),
        padding=padding,
        dilation=ints(node, "dilations", (1,) * len(kernel)),
        ceil_mode=bool(integer(node, "ceil_mode", 0)),
    )
    return result


def _average_pool(node: ir.Node, a: list[Any]) -> Tensor:
    kernel = ints(node, "kernel_shape")
    pads = ints(node, "pads", (0,) * (2 * len(kernel)))
    if pads[: len(kernel)] != pads[len(kernel) :] or len(kernel) != 2:
        what = "an average pool over one or three axes or with uneven padding has no trainable form"
        raise KakuriError("KK-M40", what, where=f"node {node.name!r}", got=pads)
    return functional.avg_pool2d(
        a[0],
        list(kernel),
        stride=list(ints(node, "strides", (1, 1))),
        padding=list(pads[:2]),
        ceil_mode=bool(integer(node, "ceil_mode", 0)),
        count_include_pad=bool(integer(node, "count_include_pad", 0)),
    )


def _batch_norm(node: ir.Node, a: list[Any]) -> Tensor:
    x, scale, shift, mean, variance = a
    return functional.batch_norm(x, mean, variance, scale, shift, training=False, eps=real(node, "epsilon", 1e-5))


def _batch_norm_in_training(node: ir.Node, a: list[Any]) -> Tensor:
    x, scale, shift, mean, variance = a
    eps = real(node, "epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, scale, shift, training=True, momentum=0.1, eps=eps)


def _reshape(_: ir.Node, a: list[Any]) -> Tensor:
    """The batch axis stays open: normal form has 1 there."""
    shape = [int(d) for d in a[1]]
    kept = [int(a[0].shape[axis]) if d == 0 else d for axis, d in enumerate(shape)]
    result: Tensor = a[0].reshape(a[0].shape[0], *kept[1:])
    return result


def _clip(_: ir.Node, a: list[Any]) -> Tensor:
    low, high = [*a, None, None][1:3]
    return torch.clamp(a[0], min=low, max=high)


def _gelu(node: ir.Node, a: list[Any]) -> Tensor:
    return functional.gelu(a[0], approximate=text(node, "approximate", "none"))


_OPERATORS: dict[str, Operator] = {
    "Add": lambda node, a: a[0] + a[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda node, a: torch.cat(a, dim=integer(node, "axis", 1)),
    "Conv": _convolution,
    "Div": lambda node, a: a[0] / a[1],
    "Elu": lambda node, a: functional.elu(a[0], alpha=real(node, "alpha", 1.0)),
    "Erf": lambda node, a: torch.erf(a[0]),
    "Flatten": lambda node, a: a[0].flatten(integer(node, "axis", 1)),
    "Gelu": _gelu,
    "Gemm": lambda node, a: functional.linear(a[0], a[1], a[2] if len(a) > 2 else None),
    "HardSigmoid": lambda node, a: torch.clamp(a[0] * real(node, "alpha", 0.2) + real(node, "beta", 0.5), 0, 1),
    "HardSwish": lambda node, a: functional.hardswish(a[0]),
    "LeakyRelu": lambda node, a: functional.leaky_relu(a[0], real(node, "alpha", 0.01)),
    "MaxPool": _max_pool,
    "Mul": lambda node, a: a[0] * a[1],
    "Relu": lambda node, a: functional.relu(a[0]),
    "Reshape": _reshape,
    "Sigmoid": lambda node, a: torch.sigmoid(a[0]),
    "Softmax": lambda node, a: torch.softmax(a[0], dim=integer(node, "axis", -1)),
    "Sub": lambda node, a: a[0] - a[1],
    "Tanh": lambda node, a: torch.tanh(a[0]),
}
