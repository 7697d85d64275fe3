"""Functions of one value: activations and elementary functions.

Template for a new one: a line in ``FUNCTIONS`` with C over the vector ``v0``, which sets ``r``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.kernels.map import lower_map
from kakuri.codegen.literals import float_literal
from kakuri.codegen.lowering import Lowering, clamp
from kakuri.model.graph import real, text
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem

Statements = Sequence[str]


def _f(value: float) -> str:
    return float_literal(float(np.float32(value)))


def _elu(alpha: float, gamma: float = 1.0) -> Statements:
    below = f"{_f(gamma * alpha)} * kk_expm1(v0)"
    above = "v0" if gamma == 1.0 else f"{_f(gamma)} * v0"
    return (f"r = vselect(v0 > 0.0f, {above}, {below});",)


def _gelu(node: ir.Node) -> Statements:
    if text(node, "approximate", "none") == "tanh":
        return (f"r = 0.5f * v0 * (1.0f + kk_tanh({_f(0.7978845608)} * (v0 + 0.044715f * v0 * v0 * v0)));",)
    return (f"r = 0.5f * v0 * (1.0f + kk_erf(v0 * {_f(0.5**0.5)}));",)


def _clip(node: ir.Node) -> Statements:
    low, high = clamp(node) or (0.0, 0.0)
    return (f"r = vclamp(v0, {_f(low)}, {_f(high)});",)


def _celu(node: ir.Node) -> Statements:
    alpha = real(node, "alpha", 1.0)
    return (f"r = vselect(v0 > 0.0f, v0, {_f(alpha)} * kk_expm1(v0 * {_f(1 / alpha)}));",)


FUNCTIONS: dict[str, Callable[[ir.Node], Statements]] = {
    "Abs": lambda _: ("r = vabs(v0);",),
    "Ceil": lambda _: ("r = kk_ceil(v0);",),
    "Celu": _celu,
    "Clip": _clip,
    "Elu": lambda node: _elu(real(node, "alpha", 1.0)),
    "Erf": lambda _: ("r = kk_erf(v0);",),
    "Exp": lambda _: ("r = kk_exp(v0);",),
    "Floor": lambda _: ("r = kk_floor(v0);",),
    "Gelu": _gelu,
    "HardSigmoid": lambda node: (
        f"r = vclamp({_f(real(node, 'alpha', 0.2))} * v0 + {_f(real(node, 'beta', 0.5))}, 0.0f, 1.0f);",
    ),
    "HardSwish": lambda _: (f"r = v0 * vclamp(v0 * {_f(1 / 6)} + 0.5f, 0.0f, 1.0f);",),
    "LeakyRelu": lambda node: (f"r = vselect(v0 < 0.0f, {_f(real(node, 'alpha', 0.01))} * v0, v0);",),
    "Log": lambda _: ("r = kk_log(v0);",),
    "Mish": lambda _: ("r = v0 * kk_tanh(kk_softplus(v0));",),
    "Neg": lambda _: ("r = -v0;",),
    "Reciprocal": lambda _: ("r = 1.0f / v0;",),
    "Relu": lambda _: ("r = vmax(vdup(0.0f), v0);",),
    "Round": lambda _: ("r = kk_round(v0);",),
    "Selu": lambda node: _elu(
        real(node, "alpha", 1.67326319217681884765625), real(node, "gamma", 1.05070102214813232421875)
    ),
    "Sigmoid": lambda _: ("r = kk_sigmoid(v0);",),
    "Softplus": lambda _: ("r = kk_softplus(v0);",),
    "Softsign": lambda _: ("r = v0 / (1.0f + vabs(v0));",),
    "Sqrt": lambda _: ("r = kk_sqrt(v0);",),
    "Tanh": lambda _: ("r = kk_tanh(v0);",),
    "ThresholdedRelu": lambda node: (f"r = vselect(v0 > {_f(real(node, 'alpha', 1.0))}, v0, vdup(0.0f));",),
}


def _lower(walk: Lowering, node: ir.Node) -> None:
    statements = FUNCTIONS[node.op_type](node)
    lower_map(walk, node, [walk.view(node)], statements)


def _check(node: ir.Node) -> Sequence[ModelProblem]:
    if node.op_type == "Clip" and clamp(node) is None:
        return (problem(node, "KK-G11", Severity.NOT_YET, "has bounds that are computed", "make them constant"),)
    return ()


KERNELS = tuple(Kernel(name, _lower, _check) for name in FUNCTIONS)
