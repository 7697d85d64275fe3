"""One operator of the file, as its importer sees it.

Purpose: inputs by layout, options by name, nodes, the fused activation, and the output with its quantisation.
Guarantees: options of another operator's type are refused; a region of a quantised graph carries ``kakuri.source``.
Source: the contract in docs/models.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.graph import Array, AttributeValue, constant, is_op, static_shape
from kakuri.model.importers.structure import shown
from kakuri.model.importers.tflite import schema
from kakuri.model.importers.tflite.builder import Builder, moves_nothing
from kakuri.model.importers.tflite.source import DTYPES, SourceOperator
from kakuri.model.importers.tflite.tensors import TO_FIRST, Layout, Tensor
from kakuri.model.quantized.reading import SOURCE_KEY, region_of

_CLAMPS = {"RELU_N1_TO_1": (-1.0, 1.0), "RELU6": (0.0, 6.0), "RELU_0_TO_1": (0.0, 1.0)}


@dataclass(frozen=True)
class Importer:
    """How one operator is imported; ``options`` is the schema's table of its options, if it has any."""

    convert: Callable[[Operation], None]
    options: str = ""


class Operation:
    """An operator during its import."""

    def __init__(self, builder: Builder, source: SourceOperator, importer: Importer) -> None:
        self.builder, self.source, self.importer = builder, source, importer
        self.kind, self.label = source.kind, source.label
        self.inputs = [builder.tensors[index] if index >= 0 else None for index in source.inputs]
        self.outputs = [builder.tensors[index] for index in source.outputs if index >= 0]
        self._made: list[ir.Node] = []
        if len(self.outputs) != len(source.outputs) or not self.outputs:
            raise self.damaged("has no outputs")
        kind = source.table.integer("BuiltinOptionsType")
        if importer.options and kind not in (0, schema.number("BuiltinOptions", importer.options)):
            raise self.damaged("has the options of another operator", schema.names("BuiltinOptions").get(kind, kind))
        self._options = source.table.table("BuiltinOptions", importer.options) if importer.options and kind else None
        self._table = importer.options

    # What the file says.

    def damaged(self, what: str, got: object = "") -> KakuriError:
        """KK-M02: the file contradicts itself."""
        return KakuriError("KK-M02", f"{self.kind} {what}", where=f"node {shown(self.label)}", got=got)

    def unsupported(self, what: str, got: object = "") -> KakuriError:
        """KK-M05: the file is right, but we cannot do that."""
        return KakuriError("KK-M05", f"{self.kind} {what}", where=f"node {shown(self.label)}", got=got)

    def number(self, name: str) -> float:
        """An option, or its default."""
        return schema.fields(self._table)[name].default if self._options is None else self._options.number(name)

    def integer(self, name: str) -> int:
        return int(self.number(name))

    def integers(self, name: str) -> tuple[int, ...]:
        """A list option; empty without one."""
        found = () if self._options is None else self._options.integers(name)
        if len(found) > self.builder.limits.rank:
            raise self.damaged(f"has a list {name} that is too long", len(found))
        return found

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def input(self, index: int) -> Tensor:
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise self.damaged("lacks an input", index)
        return found

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    def array(self, index: int) -> Array:
        """The elements of an input that must be constant: stored, or folded from shapes."""
        tensor = self.input(index)
        if tensor.array is not None:
            return tensor.array
        array = constant(self.raw(index))
        if array is None:
            raise self.unsupported("needs a constant", f"input {shown(tensor.name)}")
        return array

    def ints(self, index: int) -> tuple[int, ...]:
        """A short constant list of integers."""
        array = self.array(index)
        if array.dtype.kind not in "iu" or array.size > 64:
            raise self.damaged(f"has a malformed list at input {index}", f"{array.dtype} {array.shape}")
        return tuple(int(item) for item in array.reshape(-1))

    # Values.

    def shape(self, index: int, layout: Layout = Layout.SOURCE) -> tuple[int, ...]:
        """The shape of an input, without making a layout that is not there."""
        tensor = self.input(index)
        if tensor.array is not None:
            dims = tensor.array.shape
        elif Layout.SOURCE in tensor.values or not tensor.has(Layout.FIRST):
            dims = static_shape(self.builder.value(tensor, Layout.SOURCE))
        else:
            n, c, h, w = static_shape(self.builder.value(tensor, Layout.FIRST))
            dims = (n, h, w, c)
        return dims if layout is Layout.SOURCE else (dims[0], dims[3], dims[1], dims[2])

    def raw(self, index: int, layout: Layout = Layout.SOURCE) -> ir.Value:
        """An input as the file has it."""
        return self.builder.value(self.input(index), layout)

    def real(self, index: int, layout: Layout = Layout.SOURCE) -> ir.Value:
        """An input as numbers."""
        return self.builder.real(self.input(index), layout)

    def is_flat(self, index: int) -> bool:
        """Whether an input's elements stand in the same order channels first."""
        shape = self.shape(index)
        return len(shape) == len(TO_FIRST) and moves_nothing(shape, TO_FIRST)

    def flat(self, index: int) -> ir.Value:
        """An input under whatever shape, its elements in the file's order."""
        tensor = self.input(index)
        use_first = not tensor.has(Layout.SOURCE) and tensor.has(Layout.FIRST) and self.is_flat(index)
        return self.raw(index, Layout.FIRST if use_first else Layout.SOURCE)

    def weights(self, index: int, arrange: Callable[[Array], Array], axis: int) -> ir.Value:
        """Constant weights as numbers, their stored elements rearranged; scales per channel lie along ``axis`` then."""
        tensor = self.input(index)
        if tensor.quantization is None and self.array(index).dtype != np.float32:
            raise self.unsupported("has weights of an unsupported type", tensor.source.type)
        value = self.builder.constant(tensor.name, arrange(self.array(index)))
        return value if tensor.quantization is None else self.builder.dequantize(value, tensor, axis)

    def bias(self, index: int, data: int = 0, weights: int = 1) -> ir.Value | None:
        """A bias as numbers; stored integers count in units of input scale times weight scale."""
        if not self.has(index):
            return None
        tensor = self.input(index)
        left, right = self.input(data).quantization, self.input(weights).quantization
        if tensor.source.type == "FLOAT32":
            return self.real(index)
        if tensor.source.type != "INT32":
            raise self.unsupported("has a bias of an unsupported type", tensor.source.type)
        if left is None or right is None:
            raise self.damaged("has an integer bias on float operands")
        scale = left.scale[0] * right.scale
        return self.scaled(self.raw(index), scale, f"{tensor.name}.real")

    def scaled(self, value: ir.Value, scale: NDArray[np.float32], name: str, axis: int = 0) -> ir.Value:
        """DequantizeLinear of int32 values with zero point 0."""
        single = len(scale) == 1
        scales = self.builder.constant(f"{name}.scale", scale.reshape(() if single else -1).astype(np.float32))
        return self.builder.node("DequantizeLinear", [value, scales], {} if single else {"axis": axis}, name=name)

    # Nodes.

    def core(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> ir.Value:
        """The node that stands for the operator; it takes the operator's name."""
        return self.cores(op_type, inputs, attributes)[0]

    def cores(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, AttributeValue] | None = None,
        outputs: int = 1,
    ) -> list[ir.Value]:
        """As ``core``, with several outputs."""
        node, values = self.builder.nodes(op_type, inputs, attributes, name=self.label, outputs=outputs)
        self._made.append(node)
        return values

    def node(
        self, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, AttributeValue] | None = None
    ) -> ir.Value:
        """A node beside the core."""
        return self.builder.node(op_type, inputs, attributes, name=f"{self.label}.{op_type.lower()}")

    def split(self, value: ir.Value, axis: int, sizes: Sequence[int]) -> list[ir.Value]:
        """``value`` in parts along ``axis``."""
        lengths = self.constant("sizes", np.asarray(sizes, np.int64))
        name = f"{self.label}.split"
        return self.builder.nodes("Split", [value, lengths], {"axis": axis}, name=name, outputs=len(sizes))[1]

    def constant(self, suffix: str, array: Array) -> ir.Value:
        return self.builder.constant(f"{self.label}.{suffix}", array)

    def activated(self, value: ir.Value, option: str = "FusedActivationFunction") -> ir.Value:
        """``value`` after the operator's fused activation."""
        kind = schema.names("ActivationFunctionType").get(self.integer(option), "")
        if kind == "NONE":
            return value
        if kind == "RELU":
            return self.node("Relu", [value])
        if kind in _CLAMPS:
            return self.clip(value, *_CLAMPS[kind])
        if kind == "TANH":
            return self.node("Tanh", [value])
        raise self.unsupported("has an unsupported fused activation", kind or self.integer(option))

    def clip(self, value: ir.Value, low: float, high: float) -> ir.Value:
        bounds = [
            self.constant(suffix, np.asarray(bound, np.float32)) for suffix, bound in (("low", low), ("high", high))
        ]
        return self.node("Clip", [value, *bounds])

    def moved(self, value: ir.Value, layout: Layout = Layout.SOURCE, index: int = 0) -> None:
        """``value`` is output ``index``, as the file has it."""
        tensor = self.outputs[index]
        expected = DTYPES.get(tensor.source.type)
        dtype = None if value.dtype is None else value.dtype.numpy()
        if expected is None or dtype != np.dtype(expected):
            raise self.damaged("computes another type than its output has", f"{dtype} for {tensor.source.type}")
        tensor.values[layout] = value

    def computed(self, value: ir.Value, layout: Layout = Layout.SOURCE, index: int = 0) -> None:
        """``value`` is output ``index`` as numbers; it is quantised when the output is."""
        self.moved(self._quantized(value, index), layout, index)

    def computed_as(self, value: ir.Value, shape: Sequence[int]) -> None:
        """As ``computed``, with the output's elements under ``shape``."""
        self.moved(self.builder.reshape(self._quantized(value, 0), shape, f"{self.label}.shaped"))

    def _quantized(self, value: ir.Value, index: int) -> ir.Value:
        tensor = self.outputs[index]
        if tensor.quantization is not None:
            parameters, attributes = self.builder.parameters(tensor, tensor.quantization.axis)
            if attributes:
                raise self.unsupported("has an output with several scales")
            name = f"{self.label}.quantize"
            node, values = self.builder.nodes("QuantizeLinear", [value, *parameters], name=name)
            self._made.append(node)
            value = values[0]
        quantized = any(item is not None and item.quantization is not None for item in (*self.inputs, *self.outputs))
        if quantized and self._made:
            self._mark()
        return value

    def _mark(self) -> None:
        """Say whose rounding this is, unless the operator became something that is not one region."""
        for node in self._made:
            node.metadata_props[SOURCE_KEY] = f"tflite:{self.kind}"
        last = self._made[-1]
        if len(self._made) > 1 and is_op(last, "QuantizeLinear") and region_of(last) is None:
            for node in self._made:
                del node.metadata_props[SOURCE_KEY]
