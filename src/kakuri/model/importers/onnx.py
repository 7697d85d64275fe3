"""ONNX bytes, which nobody has vouched for, to a model in normal form.

Purpose: ``load`` for .onnx files, and the reader of models inside packages.
Guarantees: any input gives a model or a KakuriError; declared sizes are checked before memory is taken; external data
    is read only from regular files inside the model's own folder; everything wrong with a file is reported at once
    within each stage (bytes, structure, inputs, shapes, opset).
Does not guarantee: that an operator is supported by a protection; ``kakuri.model.check`` says.
Source: the ONNX IR specification; normal form: ``kakuri.model.load``.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from kakuri.errors import KakuriError, Problem
from kakuri.files import read_bounded
from kakuri.model.graph import CUSTOM_DOMAIN, remove_unused
from kakuri.model.importers.external_data import bring_in
from kakuri.model.importers.opset import TARGET_IR_VERSION, upgrade_node
from kakuri.model.importers.structure import is_text, shown, structural_problems
from kakuri.model.limits import DEFAULT_LIMITS, Limits
from kakuri.model.naming import name_nodes
from kakuri.model.passes.fold_constants import TARGET_OPSET, Folder
from kakuri.model.passes.remove_identities import remove_identities


def load_onnx(path: Path, limits: Limits = DEFAULT_LIMITS) -> ir.Model:
    """Read an .onnx file and bring it to normal form. Raises KK-F12, KK-F13, KK-M02 to KK-M07."""
    return normalize(parse(read_bounded(path, limit_bytes=limits.file_bytes), limits, folder=path.parent), limits)


def parse(
    data: bytes, limits: Limits = DEFAULT_LIMITS, *, folder: Path | None = None, custom: bool = False
) -> ir.Model:
    """ONNX bytes to a structurally valid model, not yet in normal form.

    folder: where external data may lie; None refuses it. custom: allow Kakuri's own operators.
    Raises KK-M02 to KK-M06.
    """
    if len(data) > limits.file_bytes:
        raise KakuriError("KK-M03", "the model is too large", got=len(data), limit=limits.file_bytes)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise KakuriError("KK-M02", "not an ONNX file", hint="the file is damaged or in another format") from None
    if not is_text(proto):
        raise KakuriError("KK-M02", "the file holds names that are not UTF-8 text", hint="the file is damaged")
    problems = bring_in(proto, folder, limits)
    problems += structural_problems(proto, limits, custom=custom)
    if problems:
        raise KakuriError.collect(problems)
    return _deserialize(proto)


def _deserialize(proto: onnx.ModelProto) -> ir.Model:
    """The protobuf as onnx_ir objects, without what inference does not need."""
    graph = proto.graph
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    del proto.training_info[:]
    version = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    own = any(node.domain == CUSTOM_DOMAIN for node in graph.node)
    del proto.opset_import[:]
    proto.opset_import.extend(
        [onnx.helper.make_opsetid("", version)] + ([onnx.helper.make_opsetid(CUSTOM_DOMAIN, 1)] if own else [])
    )
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    del graph.input[:]
    graph.input.extend(inputs)
    for output in graph.output:
        output.ClearField("type")
    for node in graph.node:
        node.domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        net = ir.from_proto(proto)
    except Exception as error:  # noqa: BLE001  a third-party parser of untrusted structure may raise anything
        raise KakuriError("KK-M02", "the ONNX structure cannot be read", got=type(error).__name__) from None
    for name, value in net.graph.initializers.items():
        if value.const_value is not None:
            value.const_value = ir.Tensor(value.const_value.numpy(), name=name)
    return net


def normalize(net: ir.Model, limits: Limits = DEFAULT_LIMITS) -> ir.Model:
    """A parsed model, changed in place, in the normal form of ``kakuri.model.load``. Raises KK-M02 to KK-M07."""
    _pin_inputs(net)
    remove_unused(net)
    _upgrade_and_fold(net, limits)
    net = remove_identities(net)
    check_result(net)
    name_nodes(net)
    _strip(net)
    return net


def _upgrade_and_fold(net: ir.Model, limits: Limits) -> None:
    """One walk, since rewriting an old operator needs shapes, and shapes are known for the new form only."""
    version = net.graph.opset_imports[""]
    folder = Folder(net, limits)
    for node in list(net.graph):
        known = len(folder.edit.inserted)
        try:
            if node.domain == "" and folder.reaches(node):
                upgrade_node(folder.edit, node, version, limits)
        except KakuriError as error:
            folder.give_up(node, error)
            continue
        for part in (*folder.edit.inserted[known:], *((node,) if node.graph is not None else ())):
            folder.visit(part)
    folder.finish()
    net.graph.opset_imports[""] = TARGET_OPSET
    net.ir_version = TARGET_IR_VERSION


def _pin_inputs(net: ir.Model) -> None:
    """Set an open batch axis to 1; the structural check allows no other open axis."""
    for value in net.graph.inputs:
        value.shape = ir.Shape([dim if isinstance(dim, int) else 1 for dim in value.shape or ()])


def check_result(net: ir.Model) -> None:
    """Raise what the normal form does not allow in a finished graph: KK-M02, KK-M07."""
    problems = []
    if not net.graph.inputs:
        problems.append(Problem("KK-M02", "the model has no input"))
    if not any(True for _ in net.graph):
        problems.append(Problem("KK-M02", "the model computes nothing from its inputs"))
    problems.extend(
        Problem("KK-M02", "this output is not computed", where=shown(value.name or ""))
        for value in net.graph.outputs
        if value.producer() is None
    )
    problems.extend(
        Problem("KK-M07", "computes an empty tensor", where=shown(node.name or node.op_type))
        for node in net.graph
        if any(value.shape is not None and 0 in value.shape.numpy() for value in node.outputs)
    )
    if problems:
        raise KakuriError.collect(problems)


def _strip(net: ir.Model) -> None:
    """Drop what exporters record beside the network: source paths, stack traces, operator histories."""
    for node in net.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for output in node.outputs:
            output.metadata_props.clear()
    for value in (*net.graph.inputs, *net.graph.initializers.values()):
        value.metadata_props.clear()
    net.graph.metadata_props.clear()
    net.graph.doc_string = None
    net.doc_string = None
    remove_unused(net)
