"""A trained module as an ONNX file.

Purpose: the bytes of an ONNX model with its weights inside, one image per call, nodes named after the module's layers
(``conv1``, ``bn1``, ``act1`` ...), and the preprocessing that client and trainer must share in its metadata.
Guarantees: input ``image`` float32 (1, c, h, w), output ``logits`` float32 (1, classes), opset 18; batch normalisation
stays a node of its own; no path, stack trace or other trace of the exporting machine is inside.
Does not guarantee: the same bytes from another torch version.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator

import onnx
import onnx_ir
import onnxscript.optimizer
import torch
from onnx_ir.passes import common as onnx_passes
from torch import nn

from kakuri import __version__
from kakuri.zoo.preprocessing import METADATA_KEY, PREPROCESSING

OPSET = 18
_SCOPES = "pkg.torch.onnx.name_scopes"


def to_onnx(module: nn.Module, image_shape: tuple[int, int, int], name: str) -> bytes:
    """The ONNX file's bytes. image_shape: (c, h, w). name: the graph's name."""
    example = torch.zeros((1, *image_shape))
    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    if program is None:  # pragma: no cover - torch returns None only with dynamo=False
        raise RuntimeError("torch.onnx.export returned no program")
    model: onnx_ir.Model = program.model
    onnxscript.optimizer.fold_constants(model)
    onnx_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    onnx_passes.RemoveUnusedNodesPass()(model)
    _name_after_layers(model.graph)
    model.graph.name = name
    model.producer_name, model.producer_version = "kakuri", __version__
    model.metadata_props.clear()
    model.metadata_props[METADATA_KEY] = json.dumps(PREPROCESSING.to_dict(), sort_keys=True)
    for function in list(model.functions):
        del model.functions[function]
    proto = onnx_ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def _name_after_layers(graph: onnx_ir.Graph) -> None:
    """Rename nodes, and values after the node that makes them; drop the exporter's notes."""
    scopes = [_scope(node) for node in graph]
    uses = Counter(scopes)
    seen: Counter[str] = Counter()
    kept = {value.name for value in (*graph.inputs, *graph.outputs)} | set(graph.initializers)
    for node, scope in zip(graph, scopes, strict=True):
        name = scope
        if uses[scope] > 1 or scope == "":
            name = f"{scope}.{node.op_type.lower()}".lstrip(".")
            seen[name] += 1
            name += f"_{seen[name]}"
        node.name = name
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
            if value.name not in kept:
                value.name = name if len(node.outputs) == 1 else f"{name}.{value.index()}"
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    graph.metadata_props.clear()


def _scope(node: onnx_ir.Node) -> str:
    """``act1`` for a node that the module's sub-module ``act1`` made, empty for the module's own."""
    path = ast.literal_eval(node.metadata_props.get(_SCOPES, "['']"))
    return ".".join(part for part in path[:-1] if part)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter narrates on standard output and through warnings; results belong there alone."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
