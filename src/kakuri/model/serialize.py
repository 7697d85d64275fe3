"""Models as bytes: inside packages with our own operators, outside as plain ONNX.

Guarantees: ``to_bytes`` is lossless and equal models give equal bytes; ``from_bytes`` checks untrusted bytes as
    ``load`` does, recomputes every shape, and gives a model in normal form or a KakuriError; ``save`` writes a whole
    file or none.
Does not guarantee: secrecy or authenticity; the package that carries the bytes does that.
"""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import onnx_ir as ir

from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.model.importers.onnx import parse
from kakuri.model.limits import DEFAULT_LIMITS, Limits
from kakuri.model.passes.expand_polynomial import expand_polynomial
from kakuri.model.passes.fold_constants import TARGET_OPSET, fold_constants


def to_bytes(net: ir.Model) -> bytes:
    """ONNX bytes of ``net`` with Kakuri's operators kept; entries without meaning to their order are sorted."""
    proto = ir.to_proto(net)
    proto.producer_name, proto.producer_version = "kakuri", ""
    _sort(proto)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def from_bytes(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ir.Model:
    """The model that ``to_bytes`` wrote. Raises KK-M02 to KK-M09 for anything else."""
    net = parse(data, limits, custom=True)
    if net.graph.opset_imports[""] != TARGET_OPSET:
        raise KakuriError("KK-M04", "not a model of a package", got=net.graph.opset_imports[""], limit=TARGET_OPSET)
    open_axes = [value.name for value in net.graph.inputs if any(not isinstance(dim, int) for dim in value.shape or ())]
    if open_axes:
        raise KakuriError("KK-M07", "a packaged model's inputs have fixed shapes", where=open_axes[0])
    names = [node.name for node in net.graph]
    if not all(names) or len(set(names)) != len(names):
        raise KakuriError("KK-M02", "a packaged model's nodes have unique names")
    return fold_constants(net, limits)


def save(net: ir.Model, path: str | os.PathLike[str]) -> None:
    """Write ``net`` as plain ONNX (opset 20, our operators expanded), atomically. Raises KK-F10 when it cannot."""
    data = to_bytes(expand_polynomial(net))
    with atomic_write(Path(path)) as file:
        file.write(data)


def _sort(proto: onnx.ModelProto) -> None:
    graph = proto.graph
    tensors = sorted(graph.initializer, key=lambda tensor: tensor.name)
    values = sorted(graph.value_info, key=lambda value: value.name)
    properties = sorted(proto.metadata_props, key=lambda entry: entry.key)
    imports = sorted(proto.opset_import, key=lambda entry: entry.domain)
    del graph.initializer[:], graph.value_info[:], proto.metadata_props[:], proto.opset_import[:]
    graph.initializer.extend(tensors)
    graph.value_info.extend(values)
    proto.metadata_props.extend(properties)
    proto.opset_import.extend(imports)
    for node in graph.node:
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
