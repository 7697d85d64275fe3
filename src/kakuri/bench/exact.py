"""A float32 network computed in float64: what float32 implementations are measured against.

Purpose: ``exact_outputs(net, inputs)`` runs ONNX's reference evaluator with every float32 number as float64.
Guarantees: each operator as ONNX defines it; convolution, which the evaluator has too slowly, as a product of windows.
Does not guarantee: speed; operators that loop over pixels in Python (Resize, pooling) take seconds to minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from kakuri.errors import KakuriError
from kakuri.model.passes import expand_polynomial

Array = NDArray[Any]


class Conv(OpRun):
    """Convolution over any number of axes, with groups and dilation; ``auto_pad`` is resolved at import."""

    def _run(  # noqa: PLR0917  the evaluator passes the attributes by name, in the operator's order
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str | None = None,
        dilations: Iterable[int] | None = None,
        group: int | None = None,
        kernel_shape: Iterable[int] | None = None,
        pads: Iterable[int] | None = None,
        strides: Iterable[int] | None = None,
    ) -> tuple[Array]:
        del auto_pad, kernel_shape
        axes = w.ndim - 2
        steps, gaps = list(strides or [1] * axes), list(dilations or [1] * axes)
        edges = list(pads or [0] * (2 * axes))
        padded = np.pad(x, [(0, 0), (0, 0), *((edges[i], edges[i + axes]) for i in range(axes))])
        reach = [(size - 1) * gap + 1 for size, gap in zip(w.shape[2:], gaps, strict=True)]
        seen = sliding_window_view(padded, reach, axis=tuple(range(2, 2 + axes)))
        seen = seen[
            (slice(None), slice(None), *(slice(None, None, n) for n in steps), *(slice(None, None, n) for n in gaps))
        ]
        groups = group or 1
        parts = zip(np.split(seen, groups, 1), np.split(w, groups, 0), strict=True)
        taps = [1, *range(2 + axes, 2 + 2 * axes)]
        sums = [np.tensordot(part, weights, (taps, list(range(1, 2 + axes)))) for part, weights in parts]
        y = np.moveaxis(np.concatenate(sums, axis=-1), -1, 1)
        return (y if b is None else y + b.reshape(-1, *(1,) * axes),)


def exact_outputs(net: ir.Model, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs, in order, float64. Raises KK-M17 for what the evaluator does not compute."""
    proto = doubled(ir.to_proto(expand_polynomial(net)))
    given = {name: _wide(array) for name, array in inputs.items()}
    try:
        return list(ReferenceEvaluator(proto, new_ops=[Conv]).run(None, given))
    except Exception as error:  # noqa: BLE001  whatever an operator of the evaluator raises
        lines = str(error).splitlines() or [type(error).__name__]
        raise KakuriError("KK-M17", "the evaluator cannot run this model", got=ascii(lines[0][:200])) from None


def doubled(proto: onnx.ModelProto) -> onnx.ModelProto:
    """``proto`` with float64 for every float32."""
    wide = onnx.ModelProto()
    wide.CopyFrom(proto)
    graph = wide.graph
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in graph.initializer:
        _double(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _double(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
    return wide


def _double(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(_wide(numpy_helper.to_array(tensor)), tensor.name))


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype == np.float32 else array
