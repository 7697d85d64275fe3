"""Arithmetic on two or more values, with broadcasting; folded batch normalisation's affine form too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.kernels.map import lower_map
from kakuri.codegen.literals import float_literal
from kakuri.codegen.lowering import Lowering
from kakuri.model.graph import constant, input_of, real, static_shape
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem

_TWO = {
    "Add": "v0 + v1",
    "Sub": "v0 - v1",
    "Mul": "v0 * v1",
    "Div": "v0 / v1",
    "PRelu": "vselect(v0 < 0.0f, v1 * v0, v0)",
}
_MANY = {"Min": "vmin({}, {})", "Max": "vmax({}, {})", "Sum": "{} + {}", "Mean": "{} + {}"}


def _two(walk: Lowering, node: ir.Node) -> None:
    lower_map(walk, node, [walk.view(node, 0), walk.view(node, 1)], [f"r = {_TWO[node.op_type]};"])


def _many(walk: Lowering, node: ir.Node) -> None:
    count = len(node.inputs)
    lines = ["r = v0;"] + [f"r = {_MANY[node.op_type].format('r', f'v{i}')};" for i in range(1, count)]
    if node.op_type == "Mean":
        lines.append(f"r = r * {float_literal(float(np.float32(1 / count)))};")
    lower_map(walk, node, [walk.view(node, i) for i in range(count)], lines)


def _power(walk: Lowering, node: ir.Node) -> None:
    exponent = constant(input_of(node, 1))
    single = float(exponent.reshape(-1)[0]) if exponent is not None and exponent.size == 1 else None
    direct = {2.0: "v0 * v0", 3.0: "v0 * v0 * v0", 0.5: "kk_sqrt(v0)", 1.0: "v0", -1.0: "1.0f / v0"}
    direct |= {4.0: "v0 * v0 * (v0 * v0)", -0.5: "1.0f / kk_sqrt(v0)", 0.0: "vdup(1.0f)"}
    if single in direct and exponent is not None and exponent.ndim <= len(static_shape(node.outputs[0])):
        lower_map(walk, node, [walk.view(node, 0).broadcast(static_shape(node.outputs[0]))], [f"r = {direct[single]};"])
        return
    lower_map(walk, node, [walk.view(node, 0), walk.view(node, 1)], ["r = kk_pow(v0, v1);"])


def _batch_norm(walk: Lowering, node: ir.Node) -> None:
    gamma, beta, mean, variance = (np.asarray(walk.constant(node, i), np.float64) for i in range(1, 5))
    scale = gamma / np.sqrt(variance + real(node, "epsilon", 1e-5))
    shape = (len(scale),) + (1,) * (len(static_shape(node.outputs[0])) - 2)
    factors = walk.weights.add(scale.astype(np.float32).reshape(shape))
    shifts = walk.weights.add((beta - mean * scale).astype(np.float32).reshape(shape))
    lower_map(walk, node, [walk.view(node), factors, shifts], ["r = v0 * v1 + v2;"])


def _constant_parameters(node: ir.Node) -> Sequence[ModelProblem]:
    if any(constant(input_of(node, index)) is None for index in range(1, 5)):
        return (problem(node, "KK-G12", Severity.NOT_YET, "has parameters that are computed", "export for inference"),)
    return ()


KERNELS = (
    *(Kernel(name, _two) for name in _TWO),
    *(Kernel(name, _many) for name in _MANY),
    Kernel("Pow", _power),
    Kernel("BatchNormalization", _batch_norm, _constant_parameters),
)
