"""Rewriting a graph of any supported opset in the words of one opset.

Purpose: shape rules, passes and protections meet each operator in one form only.
Requires: nodes that fit their schemas at the model's own opset; inputs with static shapes and types.
Ensures: after ``upgrade_node`` on every node, each fits its operator's schema at opset 20; operators whose meaning
    changed between the two versions are rewritten, or refused with KK-M04.
Source: the ONNX operator changelog; each rule names the version that changed the operator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from onnx import defs

from kakuri.errors import KakuriError
from kakuri.model.graph import Editor, input_of, integer, ints, real, required_input, static_shape
from kakuri.model.importers.structure import schema_problems
from kakuri.model.limits import DEFAULT_LIMITS, Limits
from kakuri.model.passes.fold_constants import TARGET_OPSET
from kakuri.model.shapes.common import where

TARGET_IR_VERSION = 10

Rule = Callable[[Editor, ir.Node], None]

_REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
)
#: operator -> versions in which its meaning, not only its types or spelling, changed, and no rule below rewrites it.
_CHANGED = {"Resize": (11, 13, 18, 19), "Scan": (9,), "Upsample": (9, 10), "GroupNormalization": (21,)}


def upgrade_node(edit: Editor, node: ir.Node, version: int, limits: Limits = DEFAULT_LIMITS) -> None:
    """Rewrite, in place, one node of opset ``version`` in the words of opset 20. Raises KK-M02, KK-M04.

    The node may be replaced by several, whose values then have shapes; it has left the graph then.
    """
    check_types(node, defs.get_schema(node.op_type, version, ""))
    rule = _rule(node, version)
    if rule is not None:
        rule(edit, node)
    if node.graph is not None:
        _check_target(node, version, limits)


def _check_target(node: ir.Node, version: int, limits: Limits) -> None:
    hint = f"export with opset {TARGET_OPSET}"
    low, high = sorted((version, TARGET_OPSET))
    if any(low < changed <= high for changed in _CHANGED.get(node.op_type, ())):
        raise KakuriError(
            "KK-M04", f"{node.op_type} means something else in opset {version}", where=where(node), hint=hint
        )
    try:
        schema = defs.get_schema(node.op_type, TARGET_OPSET, "")
    except defs.SchemaError:
        schema = None
    if schema is None or schema.deprecated:
        raise KakuriError("KK-M04", f"{node.op_type} is not in opset {TARGET_OPSET}", where=where(node), hint=hint)
    problems = list(schema_problems(ir.to_proto(node), schema, where(node), limits))
    if problems:
        raise KakuriError("KK-M04", f"{problems[0].what} in opset {TARGET_OPSET}", where=where(node), hint=hint)


def check_types(node: ir.Node, schema: defs.OpSchema) -> None:
    """Refuse (KK-M02) element types that the schema does not allow, or that differ where it wants one type."""
    allowed = {item.type_param_str: frozenset(item.allowed_type_strs) for item in schema.type_constraints}
    bound: dict[str, str] = {}
    for position, value in enumerate(node.inputs):
        if value is None or value.dtype is None:
            continue
        parameter = schema.inputs[min(position, len(schema.inputs) - 1)]
        found = f"tensor({value.dtype.name.lower()})"
        shared = parameter.is_homogeneous or position < len(schema.inputs) - 1
        expected = bound.setdefault(parameter.type_str, found) if shared else found
        if found != expected or found not in allowed.get(parameter.type_str, frozenset({parameter.type_str})):
            raise KakuriError(
                "KK-M02",
                f"input {position} of {node.op_type} has a type that does not fit",
                where=where(node),
                got=found,
                limit=expected if found != expected else "",
            )


def _rule(node: ir.Node, version: int) -> Rule | None:
    always: dict[str, Rule] = {"CastLike": _cast_like, "Swish": _swish}
    for op_types, before, rule in _RULES:
        if node.op_type in op_types and version < before:
            return rule
    return always.get(node.op_type)


def _axes_to_input(edit: Editor, node: ir.Node) -> None:
    """Squeeze, Unsqueeze, ReduceSum (13) and the other reductions (18): ``axes`` moved from attribute to input."""
    axes = node.attributes.pop("axes", None)
    if axes is not None:
        node.resize_inputs(2)
        node.replace_input_with(1, edit.constant(f"{node.outputs[0].name}.axes", np.asarray(axes.as_ints(), np.int64)))


def _clip(edit: Editor, node: ir.Node) -> None:
    """Clip (11): bounds moved from attributes to inputs."""
    dtype = (required_input(node).dtype or ir.DataType.FLOAT).numpy()
    low, high = (node.attributes.pop(name, None) for name in ("min", "max"))
    node.resize_inputs(3)
    for index, bound in ((1, low), (2, high)):
        if bound is not None:
            array = np.asarray(bound.as_float(), dtype=dtype)
            node.replace_input_with(index, edit.constant(f"{node.outputs[0].name}.bound{index}", array))


def _pad(edit: Editor, node: ir.Node) -> None:
    """Pad (11): pads and value moved from attributes to inputs."""
    pads, fill = ints(node, "pads"), real(node, "value", 0.0)
    dtype = (required_input(node).dtype or ir.DataType.FLOAT).numpy()
    for name in ("pads", "value"):
        node.attributes.pop(name, None)
    node.resize_inputs(3)
    node.replace_input_with(1, edit.constant(f"{node.outputs[0].name}.pads", np.asarray(pads, dtype=np.int64)))
    node.replace_input_with(2, edit.constant(f"{node.outputs[0].name}.value", np.asarray(fill, dtype=dtype)))


def _slice(edit: Editor, node: ir.Node) -> None:
    """Slice (10): starts, ends and axes moved from attributes to inputs."""
    starts, ends = ints(node, "starts"), ints(node, "ends")
    axes = ints(node, "axes", range(len(starts)))
    for name in ("starts", "ends", "axes"):
        node.attributes.pop(name, None)
    node.resize_inputs(4)
    for index, (name, items) in enumerate((("starts", starts), ("ends", ends), ("axes", axes)), start=1):
        array = np.asarray(items, dtype=np.int64)
        node.replace_input_with(index, edit.constant(f"{node.outputs[0].name}.{name}", array))


def _split(edit: Editor, node: ir.Node) -> None:
    """Split: sizes moved from attribute to input (13); equal parts must say how many (18)."""
    sizes = node.attributes.pop("split", None)
    if sizes is None and input_of(node, 1) is None:
        node.attributes.add(ir.AttrInt64("num_outputs", len(node.outputs)))
    elif sizes is not None:
        node.resize_inputs(2)
        array = np.asarray(sizes.as_ints(), dtype=np.int64)
        node.replace_input_with(1, edit.constant(f"{node.outputs[0].name}.split", array))


def _softmax(edit: Editor, node: ir.Node) -> None:
    """Softmax and LogSoftmax (13): before, all axes from ``axis`` on were one; the default axis was 1."""
    source, target = required_input(node), node.outputs[0]
    shape = static_shape(source)
    axis = integer(node, "axis", 1)
    axis += len(shape) if axis < 0 else 0
    if axis >= len(shape) - 1:
        node.attributes.add(ir.AttrInt64("axis", -1))
        return
    sizes = (int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))
    flat = edit.node(
        node, "Flatten", [source], {"axis": axis}, name=f"{target.name}.flat", shape=sizes, dtype=source.dtype
    )
    soft = edit.node(
        node, node.op_type, [flat], {"axis": -1}, name=f"{target.name}.soft", shape=sizes, dtype=source.dtype
    )
    to_shape = edit.constant(f"{target.name}.shape", np.asarray(shape, dtype=np.int64))
    edit.substitute(
        node,
        edit.node(node, "Reshape", [soft, to_shape], name=f"{target.name}.shaped", shape=shape, dtype=source.dtype),
    )


def _dropout(edit: Editor, node: ir.Node) -> None:
    """Dropout (12): ratio moved to an input; at inference time it is the identity."""
    node.attributes.clear()


def _batch_normalization(edit: Editor, node: ir.Node) -> None:
    """BatchNormalization (9, 14): spatial mode became the only one; training outputs went."""
    if integer(node, "spatial", 1) != 1 or any(output.uses() for output in node.outputs[1:]):
        raise KakuriError(
            "KK-M04", "BatchNormalization in training or per-pixel mode", where=node.name, hint="export in eval mode"
        )
    node.attributes.pop("spatial", None)
    if len(node.outputs) > 1:
        node.resize_outputs(1)


def _grid_sample(edit: Editor, node: ir.Node) -> None:
    """GridSample (20): interpolation modes got new names."""
    new_names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = node.attributes.get("mode")
    node.attributes.add(ir.AttrString("mode", new_names.get(mode.as_string(), mode.as_string()) if mode else "linear"))


def _cast_like(_: Editor, node: ir.Node) -> None:
    """CastLike: the type is known, so it is a Cast."""
    node.attributes.add(ir.AttrInt64("to", int(required_input(node, 1).dtype or 0)))
    node.resize_inputs(1)
    node.op_type = "Cast"


def _swish(edit: Editor, node: ir.Node) -> None:
    """Swish (24) does not exist in opset 20: x * Sigmoid(alpha x)."""
    source, target = required_input(node), node.outputs[0]
    shape, alpha = static_shape(source), real(node, "alpha", 1.0)
    scaled = source
    if alpha != 1.0:
        dtype = (source.dtype or ir.DataType.FLOAT).numpy()
        factor = edit.constant(f"{target.name}.alpha", np.asarray(alpha, dtype=dtype))
        scaled = edit.node(node, "Mul", [source, factor], name=f"{node.name}.scale", shape=shape, dtype=source.dtype)
    gate = edit.node(node, "Sigmoid", [scaled], name=f"{node.name}.sigmoid", shape=shape, dtype=source.dtype)
    edit.substitute(
        node, edit.node(node, "Mul", [source, gate], name=f"{node.name}.mul", shape=shape, dtype=source.dtype)
    )


#: (operators, applies to models older than this opset, rewrite)
_RULES: tuple[tuple[tuple[str, ...], int, Rule], ...] = (
    (("Squeeze", "Unsqueeze", "ReduceSum"), 13, _axes_to_input),
    (_REDUCTIONS, 18, _axes_to_input),
    (("Clip",), 11, _clip),
    (("Pad",), 11, _pad),
    (("Slice",), 10, _slice),
    (("Split",), 18, _split),
    (("Softmax", "LogSoftmax", "Hardmax"), 13, _softmax),
    (("Dropout",), 12, _dropout),
    (("BatchNormalization",), 14, _batch_normalization),
    (("GridSample",), 20, _grid_sample),
)
