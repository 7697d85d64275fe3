"""The structural check of an untrusted ONNX protobuf.

Purpose: prove, before any other library sees the model, that its graph is what the ONNX specification calls valid.
Guarantees: every problem is reported together; after an empty report names are unique and printable, nodes stand in
    topological order, each node fits its operator's schema, window attributes are positive, and every tensor holds
    exactly the bytes that its shape and type declare, within the limits.
Does not guarantee: that shapes fit each other; inference finds that out afterwards.
Source: the ONNX IR specification, version 10 (open-source, onnx/docs/IR.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import onnx
from google.protobuf.message import Message
from onnx import defs

from kakuri.errors import Problem
from kakuri.model.graph import CUSTOM_DOMAIN
from kakuri.model.limits import Limits

OLDEST_OPSET = 7
STANDARD_DOMAINS = ("", "ai.onnx")

_BITS: dict[int, int] = {
    onnx.TensorProto.FLOAT: 32,
    onnx.TensorProto.DOUBLE: 64,
    onnx.TensorProto.FLOAT16: 16,
    onnx.TensorProto.INT8: 8,
    onnx.TensorProto.INT16: 16,
    onnx.TensorProto.INT32: 32,
    onnx.TensorProto.INT64: 64,
    onnx.TensorProto.UINT8: 8,
    onnx.TensorProto.UINT16: 16,
    onnx.TensorProto.UINT32: 32,
    onnx.TensorProto.UINT64: 64,
    onnx.TensorProto.BOOL: 8,
}
_TYPED_FIELD: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float_data",
    onnx.TensorProto.DOUBLE: "double_data",
    onnx.TensorProto.INT64: "int64_data",
    onnx.TensorProto.UINT32: "uint64_data",
    onnx.TensorProto.UINT64: "uint64_data",
}
_PLAIN_ATTRIBUTES = {
    defs.OpSchema.AttrType.FLOAT: onnx.AttributeProto.FLOAT,
    defs.OpSchema.AttrType.INT: onnx.AttributeProto.INT,
    defs.OpSchema.AttrType.STRING: onnx.AttributeProto.STRING,
    defs.OpSchema.AttrType.FLOATS: onnx.AttributeProto.FLOATS,
    defs.OpSchema.AttrType.INTS: onnx.AttributeProto.INTS,
    defs.OpSchema.AttrType.STRINGS: onnx.AttributeProto.STRINGS,
    defs.OpSchema.AttrType.TENSOR: onnx.AttributeProto.TENSOR,
}
#: Attributes that divide or count inside shape inference.
_POSITIVE = frozenset({"strides", "dilations", "kernel_shape", "group", "blocksize", "num_outputs"})
_NONNEGATIVE = frozenset({"pads", "output_padding"})
_LARGEST_WINDOW = 1 << 20


def opset_version(proto: onnx.ModelProto) -> int | None:
    """The version of the standard operator set that the model imports; None without one."""
    versions = [entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS]
    return versions[0] if len(versions) == 1 else None


def structural_problems(proto: onnx.ModelProto, limits: Limits, *, custom: bool = False) -> list[Problem]:
    """Every structural problem of ``proto``; ``custom`` allows Kakuri's own operators."""
    problems = list(_model_problems(proto, limits))
    if problems:
        return problems
    graph = proto.graph
    for tensor in graph.initializer:
        problems.extend(tensor_problems(tensor, limits, where=f"initializer {shown(tensor.name)}"))
    stored = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        if value.name not in stored:
            problems.extend(_input_problems(value, limits))
    version = opset_version(proto)
    if version is not None:
        for index, node in enumerate(graph.node):
            problems.extend(_node_problems(node, index, version, limits, custom=custom))
    problems.extend(_name_problems(graph, limits))
    return problems


def shown(name: str) -> str:
    """A name from an untrusted file as it may be printed: escaped, quoted, shortened."""
    return ascii(name if len(name) <= 80 else name[:77] + "...")


def node_label(node: onnx.NodeProto, index: int) -> str:
    """How messages call a node: its name, else its first output, else its number."""
    name = node.name or (node.output[0] if node.output else "")
    return f"node {shown(name)}" if name else f"node {index}"


def is_text(message: Message) -> bool:
    """Whether every text field, at any depth, is valid UTF-8; protobuf hands the others over as bytes."""
    for field, content in message.ListFields():
        if field.type not in (field.TYPE_MESSAGE, field.TYPE_STRING):
            continue
        for item in content if isinstance(content, Sequence) and not isinstance(content, (str, bytes)) else (content,):
            if not (is_text(item) if field.type == field.TYPE_MESSAGE else isinstance(item, str)):
                return False
    return True


def _model_problems(proto: onnx.ModelProto, limits: Limits) -> Iterator[Problem]:
    graph = proto.graph
    counts = (
        ("nodes", len(graph.node), limits.nodes),
        ("initializers", len(graph.initializer), limits.initializers),
        ("inputs", len(graph.input), limits.initializers),
        ("outputs", len(graph.output), limits.nodes),
    )
    for what, got, limit in counts:
        if got > limit:
            yield Problem("KK-M03", f"too many {what}", got=str(got), limit=str(limit))
    if not graph.node or not graph.output:
        yield Problem("KK-M02", "the file holds no ONNX graph with nodes and outputs", hint="is it an .onnx file?")
    newest = defs.onnx_opset_version()
    version = opset_version(proto)
    if version is None:
        yield Problem("KK-M02", "the model imports no single version of the standard operator set")
    elif not OLDEST_OPSET <= version <= newest:
        yield Problem(
            "KK-M04",
            "unsupported operator set version",
            got=str(version),
            limit=f"{OLDEST_OPSET} to {newest}",
            hint="export with opset 18 to 21",
        )
    if proto.functions:
        yield Problem(
            "KK-M05",
            "model-local functions are not supported",
            got=str(len(proto.functions)),
            hint="inline them first: onnx.inliner.inline_local_functions(model)",
        )
    if graph.sparse_initializer:
        yield Problem("KK-M05", "sparse initializers are not supported", hint="store the weights dense")


def tensor_problems(tensor: onnx.TensorProto, limits: Limits, *, where: str) -> Iterator[Problem]:
    """Problems of one stored tensor; external data must have been brought in before."""
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        yield Problem("KK-M05", "unsupported tensor type", where=where, got=_type_name(tensor.data_type))
        return
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        yield Problem("KK-M06", "the tensor's data lies outside the model", where=where)
        return
    if tensor.HasField("segment"):
        yield Problem("KK-M05", "segmented tensors are not supported", where=where)
        return
    dims = list(tensor.dims)
    if len(dims) > limits.rank or any(dim < 0 for dim in dims) or math.prod(dims) > limits.value_elements:
        yield Problem(
            "KK-M03",
            "tensor shape out of bounds",
            where=where,
            got=str(dims[:16]),
            limit=f"rank {limits.rank}, {limits.value_elements} elements",
        )
        return
    elements = math.prod(dims)
    field = _TYPED_FIELD.get(tensor.data_type, "int32_data")
    lengths = {
        name: len(getattr(tensor, name))
        for name in ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
    }
    stray = [name for name, length in lengths.items() if length and (name != field or tensor.raw_data)]
    expected = elements * bits // 8 if tensor.raw_data else elements
    got = len(tensor.raw_data) if tensor.raw_data else lengths[field]
    if stray or got != expected:
        yield Problem(
            "KK-M02",
            "tensor data does not fit its shape and type",
            where=where,
            got=f"{got} for shape {dims}" + (f", stray {stray[0]}" if stray else ""),
            limit=str(expected),
        )
    elif not tensor.raw_data and field == "int32_data":
        yield from _narrow_problems(tensor, where)


def _narrow_problems(tensor: onnx.TensorProto, where: str) -> Iterator[Problem]:
    signed = tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.INT16, onnx.TensorProto.INT32)
    bits = 1 if tensor.data_type == onnx.TensorProto.BOOL else _BITS[tensor.data_type]
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if any(not low <= item <= high for item in tensor.int32_data):
        yield Problem("KK-M02", "tensor element out of its type's range", where=where, limit=f"{low} to {high}")


def _type_name(data_type: int) -> str:
    known = data_type in onnx.TensorProto.DataType.values()
    return onnx.TensorProto.DataType.Name(data_type) if known else str(data_type)


def _input_problems(value: onnx.ValueInfoProto, limits: Limits) -> Iterator[Problem]:
    where = f"input {shown(value.name)}"
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        yield Problem("KK-M05", "inputs must be tensors", where=where, got=str(kind))
        return
    tensor = value.type.tensor_type
    if tensor.elem_type not in _BITS:
        yield Problem("KK-M05", "unsupported tensor type", where=where, got=_type_name(tensor.elem_type))
    if not tensor.HasField("shape"):
        yield Problem("KK-M07", "the input declares no shape", where=where)
        return
    if len(tensor.shape.dim) > limits.rank:
        yield Problem("KK-M03", "too many axes", where=where, got=str(len(tensor.shape.dim)), limit=str(limits.rank))
        return
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if any(size is None if axis > 0 else False for axis, size in enumerate(sizes)) or any(
        size is not None and not 1 <= size <= limits.value_elements for size in sizes
    ):
        yield Problem(
            "KK-M07",
            "only the batch axis (axis 0) of an input may be open; other axes need a fixed size of at least 1",
            where=where,
            got=str([shown(dim.dim_param) if dim.dim_param else dim.dim_value for dim in tensor.shape.dim]),
            hint="export with fixed input sizes",
        )
    elif math.prod(size or 1 for size in sizes) > limits.value_elements:
        yield Problem("KK-M03", "the input is too large", where=where, got=str(sizes), limit=str(limits.value_elements))


def _node_problems(
    node: onnx.NodeProto, index: int, version: int, limits: Limits, *, custom: bool
) -> Iterator[Problem]:
    where = node_label(node, index)
    if any(item.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for item in node.attribute):
        yield Problem(
            "KK-M05",
            f"control flow ({shown(node.op_type)}) is not supported",
            where=where,
            hint="export a model whose branches and loops are fixed",
        )
        return
    if custom and node.domain == CUSTOM_DOMAIN:
        yield from _custom_problems(node, where, limits)
        return
    if node.domain not in STANDARD_DOMAINS:
        yield Problem(
            "KK-M05",
            f"operator {shown(node.op_type)} of domain {shown(node.domain)} is not part of standard ONNX",
            where=where,
            hint="export without runtime-specific fusions",
        )
        return
    try:
        schema = defs.get_schema(node.op_type, version, "")
    except defs.SchemaError:
        yield Problem("KK-M05", f"operator {shown(node.op_type)} is unknown in opset {version}", where=where)
        return
    if schema.deprecated:
        yield Problem("KK-M05", f"operator {node.op_type} is deprecated in opset {version}", where=where)
        return
    yield from schema_problems(node, schema, where, limits)


def _custom_problems(node: onnx.NodeProto, where: str, limits: Limits) -> Iterator[Problem]:
    """Attributes of our own operators: lists of integers and tensors; ``custom_ops`` checks what they say."""
    names = [attribute.name for attribute in node.attribute]
    if len(set(names)) != len(names) or len(node.output) != 1:
        yield Problem("KK-M09", "malformed operator of Kakuri", where=where)
    for attribute in node.attribute:
        kinds = (onnx.AttributeProto.INTS, onnx.AttributeProto.TENSOR)
        if attribute.ref_attr_name or attribute.type not in kinds or len(attribute.ints) > limits.attribute_items:
            yield Problem("KK-M09", f"malformed attribute {shown(attribute.name)}", where=where)
        elif attribute.type == onnx.AttributeProto.TENSOR:
            yield from tensor_problems(attribute.t, limits, where=f"{where}, attribute {shown(attribute.name)}")


def schema_problems(node: onnx.NodeProto, schema: defs.OpSchema, where: str, limits: Limits) -> Iterator[Problem]:
    """What ``node`` does not share with its operator's schema: arity, attribute names, types and ranges."""
    for kind, got, low, high in (
        ("inputs", len(node.input), schema.min_input, schema.max_input),
        ("outputs", len(node.output), schema.min_output, schema.max_output),
    ):
        if not low <= got <= high:
            yield Problem(
                "KK-M02",
                f"{node.op_type} has a wrong number of {kind}",
                where=where,
                got=str(got),
                limit=str(low) if low == high else f"{low} to {high}",
            )
    for position, name in enumerate(node.input):
        parameter = schema.inputs[min(position, len(schema.inputs) - 1)] if schema.inputs else None
        if not name and parameter is not None and parameter.option == defs.OpSchema.FormalParameterOption.Single:
            yield Problem("KK-M02", f"input {position} of {node.op_type} is empty", where=where)
    seen: set[str] = set()
    for attribute in node.attribute:
        if attribute.name in seen or attribute.name not in schema.attributes:
            word = "repeated" if attribute.name in seen else "unknown"
            yield Problem("KK-M02", f"{node.op_type} has the {word} attribute {shown(attribute.name)}", where=where)
            continue
        seen.add(attribute.name)
        yield from _attribute_problems(node, attribute, schema.attributes[attribute.name], where, limits)
    yield from (
        Problem("KK-M02", f"{node.op_type} lacks the attribute {name!r}", where=where)
        for name, declared in schema.attributes.items()
        if declared.required and name not in seen
    )


def _attribute_problems(
    node: onnx.NodeProto,
    attribute: onnx.AttributeProto,
    declared: defs.OpSchema.Attribute,
    where: str,
    limits: Limits,
) -> Iterator[Problem]:
    label = f"attribute {attribute.name!r} of {node.op_type}"
    expected = _PLAIN_ATTRIBUTES.get(declared.type)
    if expected is None:
        yield Problem("KK-M05", f"{label} has an unsupported type", where=where)
        return
    if attribute.ref_attr_name or attribute.type != expected:
        name = onnx.AttributeProto.AttributeType.Name(expected)
        yield Problem("KK-M02", f"{label} has the wrong type", where=where, limit=name)
        return
    items = len(attribute.ints) + len(attribute.floats) + len(attribute.strings)
    if items > limits.attribute_items or len(attribute.s) > limits.attribute_items:
        yield Problem("KK-M03", f"{label} is too long", where=where, limit=str(limits.attribute_items))
        return
    if attribute.type == onnx.AttributeProto.TENSOR:
        yield from tensor_problems(attribute.t, limits, where=f"{where}, {label}")
    if not all(_is_utf8(item) for item in (attribute.s, *attribute.strings)):
        yield Problem("KK-M02", f"{label} is not UTF-8 text", where=where)
    numbers = [*attribute.ints, *([attribute.i] if attribute.type == onnx.AttributeProto.INT else [])]
    low = 1 if attribute.name in _POSITIVE else 0 if attribute.name in _NONNEGATIVE else None
    if low is not None and not all(low <= number <= _LARGEST_WINDOW for number in numbers):
        yield Problem("KK-M02", f"{label} is out of range", where=where, got=str(numbers[:8]), limit=f">= {low}")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _name_problems(graph: onnx.GraphProto, limits: Limits) -> Iterator[Problem]:
    stored = [tensor.name for tensor in graph.initializer]
    known = set(stored)
    given = [value.name for value in graph.input if value.name not in known]
    defined: set[str] = set()
    yield from _define(stored, "initializer", defined, limits)
    yield from _define(given, "input", defined, limits)
    listed = [value.name for value in graph.input]
    if len(set(listed)) != len(listed):
        yield Problem("KK-M02", "an input is listed twice")
    for index, node in enumerate(graph.node):
        where = node_label(node, index)
        if node.name and not _printable(node.name, limits):
            yield Problem("KK-M02", "unusable node name", got=shown(node.name))
        yield from (
            Problem("KK-M02", f"reads {shown(name)}, which nothing before it computes", where=where)
            for name in node.input
            if name and name not in defined
        )
        yield from _define((name for name in node.output if name), where, defined, limits)
    outputs = [value.name for value in graph.output]
    if len(set(outputs)) != len(outputs):
        yield Problem("KK-M02", "an output is listed twice")
    yield from (Problem("KK-M02", "nothing computes this output", where=shown(n)) for n in outputs if n not in defined)


def _define(names: Iterable[str], where: str, defined: set[str], limits: Limits) -> Iterator[Problem]:
    for name in names:
        if not name or not _printable(name, limits):
            yield Problem("KK-M02", "unusable tensor name", where=where, got=shown(name))
        elif name in defined:
            yield Problem("KK-M02", "two tensors have the same name", where=where, got=shown(name))
        defined.add(name)


def _printable(name: str, limits: Limits) -> bool:
    return len(name) <= limits.name_characters and name.isprintable()
