"""Static shapes and folded constants, in one walk, since each needs the other.

Purpose: ``Reshape`` targets computed from ``Shape`` and the like become plain constants, and every value gets a shape.
Requires: inputs with static shapes; nodes in topological order that fit their schemas at opset 20.
Ensures: every value has a static shape and type; no node has only constant inputs, unless its operator is not one that
    this pass folds (it folds data movement and elementwise arithmetic, never matrix products).
Guarantees: problems of every node are collected before KK-M03, KK-M05, KK-M07 or KK-M09 is raised; sizes are checked
    before memory is taken; only Python and numpy look at the graph.
Does not guarantee: bit-equality with another runtime's float arithmetic in folded expressions.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import onnx
import onnx_ir as ir

from kakuri.errors import KakuriError, Problem
from kakuri.model import custom_ops, shapes
from kakuri.model.graph import CUSTOM_DOMAIN, Array, Editor, constant, is_op, remove_unused, required_input
from kakuri.model.limits import DEFAULT_LIMITS, Limits
from kakuri.model.shapes.common import Types, where

TARGET_OPSET = 20
#: Operators evaluated on constants: data movement and elementwise arithmetic, linear in their result or input.
FOLDABLE = frozenset(
    {
        "Abs",
        "Add",
        "And",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pow",
        "Range",
        "Reciprocal",
        "Reshape",
        "Round",
        "Sign",
        "Slice",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
_NUMERIC = frozenset(
    {
        ir.DataType.FLOAT,
        ir.DataType.DOUBLE,
        ir.DataType.FLOAT16,
        ir.DataType.BOOL,
        ir.DataType.INT8,
        ir.DataType.INT16,
        ir.DataType.INT32,
        ir.DataType.INT64,
        ir.DataType.UINT8,
        ir.DataType.UINT16,
        ir.DataType.UINT32,
        ir.DataType.UINT64,
    }
)


def fold_constants(net: ir.Model, limits: Limits = DEFAULT_LIMITS) -> ir.Model:
    """A copy of ``net`` with static shapes everywhere and constant computations folded.

    Raises KK-M03 (above ``limits``), KK-M05 (operator), KK-M07 (no static shape), KK-M09 (malformed own operator).
    """
    net = net.clone()
    folder = Folder(net, limits)
    for node in list(net.graph):
        folder.visit(node)
    folder.finish()
    return net


class Folder:
    """The walk itself: ``visit`` every node in topological order, then ``finish``."""

    def __init__(self, net: ir.Model, limits: Limits) -> None:
        self.net, self.limits = net, limits
        self.edit = Editor(net)
        self._problems: list[Problem] = []
        self._unknown: set[ir.Value] = set()
        self._folded: dict[ir.Value, ir.Value] = {}
        self._budget = limits.folded_elements
        for value in net.graph.initializers.values():
            if value.const_value is not None:
                value.shape = ir.Shape(value.const_value.shape.numpy())
                value.dtype = value.const_value.dtype

    def visit(self, node: ir.Node) -> None:
        """Give the outputs of ``node`` shapes, then fold it if it is constant."""
        if not self.reaches(node):
            self.give_up(node)
            return
        try:
            self._infer(node)
            self._fold(node)
        except KakuriError as error:
            self.give_up(node, error)

    def reaches(self, node: ir.Node) -> bool:
        """Whether every input of ``node`` has a known shape."""
        return not any(value in self._unknown for value in node.inputs if value is not None)

    def current(self, value: ir.Value) -> ir.Value:
        """What stands for ``value`` now: the constant that it was folded to, or itself."""
        return self._folded.get(value, value)

    def give_up(self, node: ir.Node, error: KakuriError | None = None) -> None:
        """Note a problem of ``node``; what depends on it is not looked at."""
        self._problems.extend(error.problems if error is not None else ())
        self._unknown.update(node.outputs)

    def finish(self) -> None:
        """Raise everything noted, or drop what folding left without use."""
        if self._problems:
            raise KakuriError.collect(self._problems)
        remove_unused(self.net)

    def _infer(self, node: ir.Node) -> None:
        if node.domain == CUSTOM_DOMAIN:
            types: Types = [(required_input(node).dtype or ir.DataType.FLOAT, custom_ops.output_shape(node))]
        elif is_op(node, "Constant"):
            array = _constant_node(node)
            types = [(ir.DataType.from_numpy(array.dtype), array.shape)]
        else:
            types = shapes.infer(node)
        if len(node.outputs) > len(types):
            raise KakuriError(
                "KK-M05", f"{node.op_type} with {len(node.outputs)} outputs is not supported", where=where(node)
            )
        for output, (dtype, dims) in zip(node.outputs, types, strict=False):
            self._set(node, output, dtype, dims)

    def _set(self, node: ir.Node, output: ir.Value, dtype: ir.DataType, dims: tuple[int, ...]) -> None:
        if len(dims) > self.limits.rank or math.prod(dims) > self.limits.value_elements:
            raise KakuriError(
                "KK-M03",
                "tensor too large",
                where=where(node),
                got=list(dims)[:16],
                limit=f"rank {self.limits.rank}, {self.limits.value_elements} elements",
            )
        if dtype not in _NUMERIC:
            raise KakuriError("KK-M05", "unsupported tensor type", where=where(node), got=dtype)
        output.shape, output.type = ir.Shape(dims), ir.TensorType(dtype)

    def _fold(self, node: ir.Node) -> None:
        results = self._constant_results(node) if node.domain == "" else None
        if results is None or any(output.is_graph_output() for output in node.outputs):
            return
        for output, array in zip(node.outputs, results, strict=True):
            self._folded[output] = self.edit.constant(f"{output.name}.folded", array)
            output.replace_all_uses_with(self._folded[output])

    def _constant_results(self, node: ir.Node) -> list[Array] | None:
        """What a constant node computes, one array per output; None for a node that is not constant."""
        if is_op(node, "Constant"):
            return [_constant_node(node)]
        if is_op(node, "Shape", "Size"):
            return [_shape_node(node)]
        if not is_op(node, *FOLDABLE):
            return None
        inputs = {value.name or "": constant(value) for value in node.inputs if value is not None}
        known = {name: array for name, array in inputs.items() if array is not None}
        if not known or len(known) != len(inputs):
            return None
        if is_op(node, "ConstantOfShape"):
            return [_constant_of_shape(node)]
        self._spend(node, sum(_elements(value) for value in (*node.inputs, *node.outputs)))
        return _evaluate(node, known)

    def _spend(self, node: ir.Node, elements: int) -> None:
        self._budget -= elements
        if self._budget < 0:
            raise KakuriError(
                "KK-M03",
                "folding the model's constants takes too much memory",
                where=where(node),
                limit=f"{self.limits.folded_elements} elements",
            )


def _elements(value: ir.Value | None) -> int:
    return 0 if value is None or value.shape is None else math.prod(value.shape.numpy())


def _constant_node(node: ir.Node) -> Array:
    attribute = next(iter(node.attributes.values()), None)
    if attribute is not None and attribute.type == ir.AttributeType.TENSOR:
        return np.asarray(attribute.as_tensor().numpy())
    kinds: dict[ir.AttributeType, type[np.generic]] = {
        ir.AttributeType.FLOAT: np.float32,
        ir.AttributeType.FLOATS: np.float32,
        ir.AttributeType.INT: np.int64,
        ir.AttributeType.INTS: np.int64,
    }
    if attribute is None or len(node.attributes) != 1 or attribute.type not in kinds:
        raise KakuriError("KK-M05", "unsupported kind of constant", where=where(node))
    return np.asarray(attribute.value, dtype=kinds[attribute.type])


def _shape_node(node: ir.Node) -> Array:
    shape = required_input(node).shape
    dims = [int(dim) for dim in shape.numpy()] if shape is not None else []
    if node.op_type == "Size":
        return np.asarray(math.prod(dims), dtype=np.int64)
    start, end = node.attributes.get("start"), node.attributes.get("end")
    return np.asarray(dims[start.as_int() if start else 0 : end.as_int() if end else len(dims)], dtype=np.int64)


def _constant_of_shape(node: ir.Node) -> Array:
    """One element seen as a whole tensor: it takes no memory until someone writes it out."""
    shape, attribute = node.outputs[0].shape, node.attributes.get("value")
    fill = np.float32(0) if attribute is None else attribute.as_tensor().numpy().reshape(-1)[0]
    return np.broadcast_to(np.asarray(fill), shape.numpy() if shape is not None else ())


def _evaluate(node: ir.Node, inputs: dict[str, Array]) -> list[Array]:
    """Run one node on constants through ONNX's reference implementation, which is plain numpy."""
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415  (11 MiB, which a device that folds nothing lacks)

    graph = onnx.helper.make_graph(
        [ir.to_proto(node)],
        "fold",
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in inputs],
        [onnx.helper.make_value_info(output.name or "", onnx.TypeProto()) for output in node.outputs],
    )
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", TARGET_OPSET)])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            arrays = [np.asarray(result) for result in ReferenceEvaluator(proto).run(None, dict(inputs))]
    except Exception as error:  # noqa: BLE001  the reference operators raise anything on inputs that do not fit
        raise KakuriError(
            "KK-M07", f"{node.op_type}: its constants do not fit", where=where(node), got=type(error).__name__
        ) from None
    for output, array in zip(node.outputs, arrays, strict=True):
        dims = output.shape.numpy() if output.shape is not None else None
        if array.shape != dims or output.dtype is None or array.dtype != output.dtype.numpy():
            raise KakuriError("KK-M07", f"{node.op_type}: its constants do not fit", where=where(node))
    return arrays
