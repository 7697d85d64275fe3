"""Static shapes and folded constants, in one walk, since each needs the other.

Purpose: ``Reshape`` targets computed from ``Shape`` and the like become plain constants, and every value gets a shape.
Requires: inputs with static shapes; nodes in topological order that passed the structural check; any opset.
Ensures: every value has a static shape and type; no node has only constant inputs, unless its operator is not one that
    this pass folds (it folds data movement and elementwise arithmetic, never matrix products).
Guarantees: problems of every node are collected before KK-M07 or KK-M03 is raised; sizes are checked before allocation.
Does not guarantee: bit-equality with another runtime's float arithmetic in folded expressions.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import onnx
import onnx_ir as ir
from onnx import defs, shape_inference
from onnx.reference import ReferenceEvaluator

from kakuri.errors import KakuriError, Problem
from kakuri.model import custom_ops
from kakuri.model.graph import (
    CUSTOM_DOMAIN,
    Array,
    Editor,
    constant,
    is_op,
    remove_unused,
    required_input,
    static_shape,
)
from kakuri.model.limits import DEFAULT_LIMITS, Limits

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
#: Constants up to this many elements are shown to shape inference.
_SHAPE_DATA_ELEMENTS = 64


def fold_constants(net: ir.Model, limits: Limits = DEFAULT_LIMITS) -> ir.Model:
    """A copy of ``net`` with static shapes everywhere and constant computations folded.

    Raises KK-M07 (a shape cannot be determined), KK-M03 (a tensor above ``limits``), KK-M09 (malformed own operator).
    """
    net = net.clone()
    walk = _Walk(net, limits)
    for node in list(net.graph):
        walk.visit(node)
    if walk.problems:
        raise KakuriError.collect(walk.problems)
    remove_unused(net)
    return net


class _Walk:
    def __init__(self, net: ir.Model, limits: Limits) -> None:
        self.limits = limits
        self.version = net.graph.opset_imports[""]
        self.edit = Editor(net)
        self.problems: list[Problem] = []
        self.unknown: set[ir.Value] = set()
        self.budget = limits.folded_elements
        for value in net.graph.initializers.values():
            if value.const_value is not None:
                value.shape = ir.Shape(value.const_value.shape.numpy())
                value.dtype = value.const_value.dtype

    def visit(self, node: ir.Node) -> None:
        """Give the outputs of ``node`` shapes, then fold it if it is constant."""
        if any(value in self.unknown for value in node.inputs if value is not None):
            self.unknown.update(node.outputs)
            return
        try:
            self._infer(node)
            self._fold(node)
        except KakuriError as error:
            self.problems.extend(error.problems)
            self.unknown.update(node.outputs)

    def _infer(self, node: ir.Node) -> None:
        if node.domain == CUSTOM_DOMAIN:
            self._set(node, node.outputs[0], custom_ops.output_shape(node), required_input(node).dtype)
            return
        types = _infer_types(node, self.version)
        for output in node.outputs:
            if not output.name:
                continue
            found = types.get(output.name)
            if output is not node.outputs[0] and not output.uses() and not output.is_graph_output():
                continue
            if found is None or not found.HasField("tensor_type"):
                raise _no_shape(node, output, "nothing")
            tensor = found.tensor_type
            dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
            if not tensor.HasField("shape") or any(dim < 0 for dim in dims):
                raise _no_shape(node, output, dims if tensor.HasField("shape") else "unknown rank")
            self._set(node, output, dims, ir.DataType(tensor.elem_type))

    def _set(
        self, node: ir.Node, output: ir.Value, dims: list[int] | tuple[int, ...], dtype: ir.DataType | None
    ) -> None:
        if len(dims) > self.limits.rank or math.prod(dims) > self.limits.value_elements:
            raise KakuriError(
                "KK-M03",
                "tensor too large",
                where=node.name or output.name,
                got=list(dims)[:16],
                limit=f"rank {self.limits.rank}, {self.limits.value_elements} elements",
            )
        if dtype is None or dtype not in _NUMERIC:
            raise KakuriError("KK-M05", "unsupported tensor type", where=node.name or output.name, got=dtype)
        output.shape, output.type = ir.Shape(dims), ir.TensorType(dtype)

    def _fold(self, node: ir.Node) -> None:
        if node.domain != "":
            return
        results = self._constant_results(node)
        if results is None:
            return
        for output, array in zip(node.outputs, results, strict=True):
            if output.is_graph_output():
                return
            if not output.uses():
                continue
            value = self.edit.constant(f"{output.name}.folded", array)
            value.shape, value.type = output.shape, output.type
            output.replace_all_uses_with(value)

    def _constant_results(self, node: ir.Node) -> list[Array] | None:
        """What a constant node computes, one array per output; None for a node that is not constant."""
        output = node.outputs[0]
        if is_op(node, "Constant"):
            return [_constant_node(node)]
        if is_op(node, "Shape", "Size"):
            return [_shape_node(node)]
        if not is_op(node, *FOLDABLE):
            return None
        inputs = {value.name: constant(value) for value in node.inputs if value is not None}
        if not inputs or any(array is None for array in inputs.values()):
            return None
        dims = tuple(output.shape.numpy()) if output.shape is not None else ()
        if is_op(node, "ConstantOfShape"):
            attribute = node.attributes.get("value")
            fill = np.float32(0) if attribute is None else attribute.as_tensor().numpy().reshape(-1)[0]
            return [np.broadcast_to(np.asarray(fill), dims)]
        self._spend(node, math.prod(dims) + sum(array.size for array in inputs.values() if array is not None))
        return _evaluate(node, self.version, inputs)

    def _spend(self, node: ir.Node, elements: int) -> None:
        self.budget -= elements
        if self.budget < 0:
            raise KakuriError(
                "KK-M03",
                "folding the model's constants takes too much memory",
                where=node.name or node.outputs[0].name,
                limit=f"{self.limits.folded_elements} elements",
            )


def _no_shape(node: ir.Node, output: ir.Value, got: object) -> KakuriError:
    return KakuriError(
        "KK-M07",
        f"the shape that {node.op_type} computes cannot be determined before running",
        where=node.name or output.name,
        got=got,
        hint="export with fixed input sizes",
    )


def _infer_types(node: ir.Node, version: int) -> dict[str, onnx.TypeProto]:
    types: dict[str, onnx.TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for value in node.inputs:
        if value is None or not value.name:
            continue
        types[value.name] = onnx.helper.make_tensor_type_proto(int(value.dtype or 0), static_shape(value))
        array = constant(value)
        if array is not None and array.size <= _SHAPE_DATA_ELEMENTS:
            data[value.name] = onnx.numpy_helper.from_array(array.copy(), value.name)
    schema = defs.get_schema(node.op_type, version, "")
    _check_types(node, schema)
    try:
        return dict(
            shape_inference.infer_node_outputs(
                schema, ir.to_proto(node), types, data, opset_imports=[onnx.helper.make_opsetid("", version)]
            )
        )
    except (shape_inference.InferenceError, defs.SchemaError, ValueError, RuntimeError, TypeError, IndexError) as error:
        raise KakuriError(
            "KK-M07",
            f"the inputs and attributes of {node.op_type} do not fit each other",
            where=node.name or node.outputs[0].name,
            got=ascii(str(error).strip().splitlines()[0][:160]) if str(error).strip() else type(error).__name__,
        ) from None


def _check_types(node: ir.Node, schema: defs.OpSchema) -> None:
    """Refuse element types that the operator's schema does not allow, or that differ where it wants one type."""
    allowed = {item.type_param_str: frozenset(item.allowed_type_strs) for item in schema.type_constraints}
    bound: dict[str, str] = {}
    for position, value in enumerate(node.inputs):
        if value is None or value.dtype is None:
            continue
        parameter = schema.inputs[min(position, len(schema.inputs) - 1)]
        found = f"tensor({_type_string(value.dtype)})"
        shared = parameter.is_homogeneous or position < len(schema.inputs) - 1
        expected = bound.setdefault(parameter.type_str, found) if shared else found
        if found != expected or found not in allowed.get(parameter.type_str, frozenset({parameter.type_str})):
            raise KakuriError(
                "KK-M02",
                f"input {position} of {node.op_type} has a type that does not fit",
                where=node.name or node.outputs[0].name,
                got=found,
                limit=expected if found != expected else "",
            )


def _type_string(dtype: ir.DataType) -> str:
    return dtype.name.lower()


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
        raise KakuriError("KK-M05", "unsupported kind of constant", where=node.name or node.outputs[0].name)
    return np.asarray(attribute.value, dtype=kinds[attribute.type])


def _shape_node(node: ir.Node) -> Array:
    shape = required_input(node).shape
    dims = [int(dim) for dim in shape.numpy()] if shape is not None else []
    if node.op_type == "Size":
        return np.asarray(math.prod(dims), dtype=np.int64)
    start, end = node.attributes.get("start"), node.attributes.get("end")
    return np.asarray(dims[start.as_int() if start else 0 : end.as_int() if end else len(dims)], dtype=np.int64)


def _evaluate(node: ir.Node, version: int, inputs: dict[str | None, Array | None]) -> list[Array]:
    """Run one node on constants through ONNX's reference implementation, which is plain numpy."""
    names = [name for name in inputs if name]
    outputs = [output.name or "" for output in node.outputs]
    graph = onnx.helper.make_graph(
        [ir.to_proto(node)],
        "fold",
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in names],
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in outputs],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            results = ReferenceEvaluator(model).run(None, {name: inputs[name] for name in names})
    except Exception as error:  # noqa: BLE001  the reference operators raise anything on inputs that do not fit
        raise KakuriError(
            "KK-M07",
            f"the constants of {node.op_type} do not fit each other",
            where=node.name or outputs[0],
            got=type(error).__name__,
        ) from None
    arrays = [np.asarray(result) for result in results]
    for output, array in zip(node.outputs, arrays, strict=True):
        dims = tuple(output.shape.numpy()) if output.shape is not None else None
        if array.shape != dims or output.dtype is None or array.dtype != output.dtype.numpy():
            raise KakuriError(
                "KK-M07", f"the constants of {node.op_type} do not fit each other", where=node.name or outputs[0]
            )
    return arrays
