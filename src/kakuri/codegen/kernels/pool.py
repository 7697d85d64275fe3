"""Pooling over one or two axes: ``runtime/pool.h``; windows are cut at the border, so maps need no padding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

from kakuri.codegen.ahead import window_pads
from kakuri.codegen.kernels.conv import two
from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.literals import struct_literal
from kakuri.codegen.lowering import Lowering, last_order
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import U8, View
from kakuri.model.graph import CUSTOM_DOMAIN, integer, ints, required_input, static_shape
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem


@dataclass(frozen=True)
class Pool(Operation):
    """kernel, strides, dilations, pads: (rows, columns); pads above and left. divisor: 0 counts the cells inside."""

    name: str
    source: View
    target: View
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]
    largest: bool
    divisor: int

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("levels.h", "pool.h", "pool_levels.h") if self.source.element is U8 else ("pool.h",)

    def body(self) -> str:
        samples, channels, height, width = self.source.shape
        fields: dict[str, int | float] = {
            "H": height,
            "W": width,
            "OH": self.target.shape[2],
            "OW": self.target.shape[3],
        }
        fields |= {"C": channels, "divisor": self.divisor, "top": self.pads[0], "left": self.pads[1]}
        for letter, pair in (("k", self.kernel), ("s", self.strides), ("d", self.dilations)):
            fields |= {f"{letter}h": pair[0], f"{letter}w": pair[1]}
        fields |= {"a_row": self.source.strides[2], "a_px": self.source.strides[3]}
        fields |= {"c_row": self.target.strides[2], "c_px": self.target.strides[3]}
        function = "kk_pool_max" if self.largest else "kk_pool_sum"
        if self.source.element is U8:
            function = "kk_pool_levels"
        return "\n".join(
            [
                f"KK_TABLE kk_pool g = {struct_literal(fields)};",
                f"const {self.source.element.c} *a = {pointer(self.source)};",
                f"{self.source.element.c} *c = {pointer(self.target)};",
                f"for (ptrdiff_t n = 0; n < {samples}; n++)",
                f"    {function}(&g, a + n * {self.source.strides[0]}, c + n * {self.target.strides[0]});",
            ]
        )


def _lower(walk: Lowering, node: ir.Node) -> None:
    shape = static_shape(required_input(node))
    rank = len(shape)
    everything = node.op_type.startswith("Global")
    kernel = two(shape[2:] if everything else ints(node, "kernel_shape"))
    pads = window_pads(node, rank)
    largest = node.op_type.endswith("MaxPool")
    counted = integer(node, "count_include_pad", 0) == 1 or not any(pads)
    divisor = kernel[0] * kernel[1] if counted and not integer(node, "ceil_mode", 0) else 0
    source = walk.channels_last(walk.view(node)).four_axes()
    target = walk.new(node.outputs[0], last_order(rank)).four_axes()
    walk.emit(
        Pool(
            node.name or "pool",
            source,
            target,
            kernel,
            two(ints(node, "strides", (1,) * (rank - 2))),
            two(ints(node, "dilations", (1,) * (rank - 2))),
            (pads[0], pads[2]),
            largest,
            1 if node.op_type == "SumPool" else divisor,
        )
    )


def _check(node: ir.Node) -> Iterable[ModelProblem]:
    rank = len(static_shape(required_input(node)))
    if rank not in (3, 4):
        yield problem(node, "KK-G13", Severity.NOT_YET, f"pools over {rank - 2} axes", "one or two axes work")
    if len(node.outputs) > 1 and node.outputs[1].uses():
        yield problem(node, "KK-G15", Severity.NOT_YET, "returns where the maxima were", "")
    if integer(node, "count_include_pad", 0) and integer(node, "ceil_mode", 0):
        yield problem(node, "KK-G15", Severity.NOT_YET, "counts padding while rounding up", "set ceil_mode=0")
    if len(node.outputs) > 1 and node.outputs[1].is_graph_output():
        yield problem(node, "KK-G15", Severity.NOT_YET, "returns where the maxima were", "")


KERNELS = (
    *(Kernel(name, _lower, _check) for name in ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")),
    Kernel("SumPool", _lower, _check, CUSTOM_DOMAIN),
)
