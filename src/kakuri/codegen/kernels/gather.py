"""Rows picked by indices, known or computed; and conversions of whole numbers.

An index that a caller gives cannot be trusted: negative ones count from the end, and what is still outside is clamped,
so that any index reads inside the tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.lowering import Lowering, element_of
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import ELEMENTS, View
from kakuri.model.graph import integer, required_input, static_shape
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem


@dataclass(frozen=True)
class Gather(Operation):
    """data: dense, (outer, size, inner) once axes are merged. indices, target: dense."""

    name: str
    data: View
    indices: View
    target: View
    axis: int

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.data, self.indices)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    def body(self) -> str:
        shape, c = self.data.shape, self.data.element.c
        outer, size, inner = math.prod(shape[: self.axis]), shape[self.axis], math.prod(shape[self.axis + 1 :])
        count = self.indices.size
        return "\n".join(
            [
                f"const {self.indices.element.c} *which = {pointer(self.indices)};",
                f"const {c} *p = {pointer(self.data)};",
                f"{c} *q = {pointer(self.target)};",
                f"for (ptrdiff_t o = 0; o < {outer}; o++)",
                f"    for (ptrdiff_t i = 0; i < {count}; i++) {{",
                f"        int64_t k = which[i] < 0 ? which[i] + (int64_t){size} : which[i];",
                f"        k = k < 0 ? 0 : k >= {size} ? {size - 1} : k;",
                f"        memcpy(q + (o * {count} + i) * {inner}, p + (o * {size} + k) * {inner}, "
                f"{inner * self.data.element.size_bytes});",
                "    }",
            ]
        )


@dataclass(frozen=True)
class Convert(Operation):
    """Whole numbers as another type; source and target dense."""

    name: str
    source: View
    target: View

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    def body(self) -> str:
        c = self.target.element.c
        return "\n".join(
            [
                f"const {self.source.element.c} *p = {pointer(self.source)};",
                f"{c} *q = {pointer(self.target)};",
                f"for (ptrdiff_t i = 0; i < {self.source.size}; i++)",
                f"    q[i] = ({c})p[i];",
            ]
        )


def _gather(walk: Lowering, node: ir.Node) -> None:
    data, value = walk.view(node), node.outputs[0]
    axis = integer(node, "axis", 0) % len(data.shape)
    known = walk.constant(node, 1)
    if known is not None and known.ndim == 0:
        at = int(known) % data.shape[axis]
        picked = data.slice(axis, at, 1).reshape(static_shape(value))
        if picked is not None:
            walk.alias(value, picked)
            return
    indices = walk.dense(walk.view(node, 1)) if known is None else walk.weights.add(known.astype(np.int64))
    target = walk.scratch(static_shape(value), range(len(static_shape(value))), element_of(value))
    walk.alias(value, target)
    walk.emit(Gather(node.name or "gather", walk.dense(data), indices, target, axis))


def _cast(walk: Lowering, node: ir.Node) -> None:
    value = node.outputs[0]
    target = walk.scratch(static_shape(value), range(len(static_shape(value))), element_of(value))
    walk.alias(value, target)
    walk.emit(Convert(node.name or "cast", walk.dense(walk.view(node)), target))


def _check_cast(node: ir.Node) -> Iterable[ModelProblem]:
    source = required_input(node).dtype
    if source is None or not source.is_integer() or source.numpy().name not in ELEMENTS:
        yield problem(node, "KK-G18", Severity.NOT_YET, "converts from a type other than int32 and int64", "")


KERNELS = (Kernel("Gather", _gather), Kernel("Cast", _cast, _check_cast))
