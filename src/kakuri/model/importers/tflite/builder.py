"""Builds the graph of a TFLite file, node by node, with shapes known at once.

Purpose: constants, nodes and layout changes for the importers in ``operators``.
Guarantees: every node has a shape when it is made; constant computations are folded at once; what constants take
    together is bounded by the file's size; a problem of one operator does not hide those of others that do not depend
    on it.
Does not guarantee: that an operator's meaning is right; its importer does that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from kakuri.errors import KakuriError, Problem
from kakuri.model.graph import Array, AttributeValue, static_shape
from kakuri.model.importers.opset import TARGET_IR_VERSION
from kakuri.model.importers.structure import shown
from kakuri.model.importers.tflite.source import DTYPES, SourceModel, SourceTensor, printable
from kakuri.model.importers.tflite.tensors import TO_FIRST, TO_LAST, Layout, Tensor
from kakuri.model.limits import Limits
from kakuri.model.passes.fold_constants import TARGET_OPSET, Folder

SCALE_KEY, ZERO_POINT_KEY = "kakuri.scale", "kakuri.zero_point"
_CONSTANTS_PER_FILE_BYTE = 8
_SMALL_BYTES = 1 << 24


class LostError(Exception):
    """An operator reads something that an earlier problem kept from being computed."""


class Builder:
    """One graph under construction."""

    def __init__(self, source: SourceModel, limits: Limits, file_bytes: int) -> None:
        self.limits = limits
        self.problems: list[Problem] = []
        self._budget_bytes = _CONSTANTS_PER_FILE_BYTE * file_bytes + _SMALL_BYTES
        names = {tensor.index: printable(tensor.name, limits) or f"tensor_{tensor.index}" for tensor in source.tensors}
        self.tensors = [Tensor(tensor, names[tensor.index], tensor.data) for tensor in source.tensors]
        for tensor in self.tensors:
            if tensor.array is None and 0 in tensor.source.shape and tensor.source.type in DTYPES:
                tensor.array = np.zeros(tensor.source.shape, DTYPES[tensor.source.type])
        self.net = ir.Model(
            ir.Graph([], [], nodes=[], name="tflite", opset_imports={"": TARGET_OPSET}), ir_version=TARGET_IR_VERSION
        )
        self.folder = Folder(self.net, limits)
        self.edit = self.folder.edit
        self._output_names = {}
        for index in source.inputs:
            self._add_input(self.tensors[index])
        for index in source.outputs:
            self._output_names[index] = self.edit.reserve(names[index])

    def _add_input(self, tensor: Tensor) -> None:
        kind = DTYPES.get(tensor.source.type)
        if kind is None:
            where = f"input {shown(tensor.name)}"
            self.problems.append(Problem("KK-M05", "unsupported tensor type", where, tensor.source.type))
            return
        value = ir.Value(
            name=self.edit.reserve(tensor.name),
            shape=ir.Shape(tensor.source.shape),
            type=ir.TensorType(ir.DataType.from_numpy(np.dtype(kind))),
        )
        describe(value, tensor.source)
        self.net.graph.inputs.append(value)
        tensor.values[Layout.SOURCE] = value

    def constant(self, name: str, array: Array) -> ir.Value:
        """A new initializer. Raises KK-M03 when the file's constants take too much."""
        self._budget_bytes -= array.nbytes
        if self._budget_bytes < 0:
            raise KakuriError("KK-M03", "the model's constants overlap in the file", where=shown(name))
        return self.edit.constant(name, np.asarray(array, order="C"))

    def nodes(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        name: str,
        outputs: int = 1,
    ) -> tuple[ir.Node, list[ir.Value]]:
        """A node at the end of the graph, and what stands for its outputs: itself, or the constants it folds to."""
        names = [name] if outputs == 1 else [f"{name}.{number}" for number in range(outputs)]
        node = self.edit.append(op_type, inputs, attributes or {}, name=name, outputs=names)
        self.folder.visit(node)
        if node.outputs[0].shape is None:
            raise LostError
        return node, [self.folder.current(value) for value in node.outputs]

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        name: str,
    ) -> ir.Value:
        """The only output of a new node."""
        return self.nodes(op_type, inputs, attributes, name=name)[1][0]

    def reshape(self, value: ir.Value, shape: Sequence[int], name: str) -> ir.Value:
        """``value`` with its elements in the same order under ``shape``; itself when nothing changes."""
        if static_shape(value) == tuple(shape):
            return value
        target = self.constant(f"{name}.shape", np.asarray(shape, np.int64))
        return self.node("Reshape", [value, target], {"allowzero": 1}, name=name)

    def transpose(self, value: ir.Value, axes: Sequence[int], name: str) -> ir.Value:
        """``value`` with its axes in the order ``axes``; a Reshape when only axes of size 1 move."""
        shape = static_shape(value)
        if sorted(axes) != list(range(len(shape))):
            raise KakuriError(
                "KK-M02", "the axes do not fit the tensor", where=name, got=f"{list(axes)[:8]} of {shape}"
            )
        if moves_nothing(shape, axes):
            return self.reshape(value, [shape[axis] for axis in axes], name)
        return self.node("Transpose", [value], {"perm": list(axes)}, name=name)

    def value(self, tensor: Tensor, layout: Layout) -> ir.Value:
        """``tensor`` as the file has it, under ``layout``. Raises LostError when nothing computed it."""
        found = tensor.values.get(layout)
        if found is None:
            found = self._make(tensor, layout)
            tensor.values[layout] = found
        return found

    def _make(self, tensor: Tensor, layout: Layout) -> ir.Value:
        if layout in tensor.makers:
            return tensor.makers[layout]()
        if tensor.array is not None:
            self._check_rank(tensor, layout, tensor.array.ndim)
            first = layout is Layout.FIRST
            return self.constant(tensor.name, tensor.array.transpose(TO_FIRST) if first else tensor.array)
        if layout is Layout.SOURCE and tensor.has(Layout.FIRST):
            return self.transpose(self.value(tensor, Layout.FIRST), TO_LAST, f"{tensor.name}.channels_last")
        if layout is Layout.FIRST and tensor.has(Layout.SOURCE):
            source = self.value(tensor, Layout.SOURCE)
            self._check_rank(tensor, layout, len(static_shape(source)))
            return self.transpose(source, TO_FIRST, f"{tensor.name}.channels_first")
        raise LostError

    def _check_rank(self, tensor: Tensor, layout: Layout, rank: int) -> None:
        if layout is Layout.FIRST and rank != len(TO_FIRST):
            raise KakuriError("KK-M02", "a spatial operator needs rank 4", where=shown(tensor.name), got=rank)

    def real(self, tensor: Tensor, layout: Layout) -> ir.Value:
        """``tensor`` as numbers under ``layout``: dequantised when it is quantised to 8 bits."""
        if tensor.quantization is None:
            if tensor.source.quantization is not None and tensor.source.type == "INT16":
                raise KakuriError("KK-M05", "16-bit quantised tensors are not supported", where=shown(tensor.name))
            return self.value(tensor, layout)
        found = tensor.reals.get(layout)
        if found is None:
            if len(tensor.quantization.scale) > 1:
                raise KakuriError("KK-M05", "several scales are supported for weights only", where=shown(tensor.name))
            found = self.dequantize(self.value(tensor, layout), tensor, 0)
            tensor.reals[layout] = found
        return found

    def dequantize(self, value: ir.Value, tensor: Tensor, axis: int) -> ir.Value:
        """DequantizeLinear of ``value``, whose scales (of ``tensor``) lie along ``axis``."""
        parameters, attributes = self.parameters(tensor, axis)
        return self.node("DequantizeLinear", [value, *parameters], attributes, name=f"{tensor.name}.real")

    def parameters(self, tensor: Tensor, axis: int) -> tuple[list[ir.Value], dict[str, AttributeValue]]:
        """Scale and zero point of a quantised tensor as constants, with the attributes that their shape needs."""
        quantization = tensor.quantization
        if quantization is None:
            raise KakuriError("KK-M02", "the tensor has no quantisation", where=shown(tensor.name))
        points = quantization.zero_point.astype(DTYPES[tensor.source.type])
        single = len(points) == 1
        scale = self.constant(f"{tensor.name}.scale", quantization.scale.reshape(() if single else -1))
        zero_point = self.constant(f"{tensor.name}.zero_point", points.reshape(() if single else -1))
        return [scale, zero_point], {} if single else {"axis": axis}

    def add_outputs(self, outputs: Sequence[int]) -> None:
        """Make the file's outputs the graph's, in the file's layout and under the file's names."""
        for index in outputs:
            tensor = self.tensors[index]
            try:
                value = self.value(tensor, Layout.SOURCE)
                if value.producer() is None or value.is_graph_output():
                    value = self.node("Identity", [value], name=f"{tensor.name}.output")
            except LostError:
                continue
            value.name = self._output_names[index]
            describe(value, tensor.source)
            self.net.graph.outputs.append(value)

    def finish(self) -> None:
        """Raise every problem noted, or drop what folding left without use."""
        try:
            self.folder.finish()
        except KakuriError as error:
            self.problems.extend(error.problems)
        if self.problems:
            raise KakuriError.collect(self.problems)


def moves_nothing(shape: Sequence[int], axes: Sequence[int]) -> bool:
    """Whether transposing by ``axes`` leaves the elements in their order: only axes of size 1 move."""
    kept = [axis for axis in axes if shape[axis] != 1]
    return kept == sorted(kept)


def describe(value: ir.Value, source: SourceTensor) -> None:
    """Note the quantisation of an input or output of the graph, for those who feed and read it."""
    if source.quantization is not None and len(source.quantization.scale) == 1:
        value.metadata_props[SCALE_KEY] = repr(float(source.quantization.scale[0]))
        value.metadata_props[ZERO_POINT_KEY] = str(int(source.quantization.zero_point[0]))
