"""Names that a person recognises.

Purpose: every node gets a unique name that messages, plans and op counts can show: ``conv1``, ``layer1.0.relu``.
Guarantees: deterministic; unique and non-empty; a node exported from a torch module is called by the module's path.
Does not guarantee: that a name survives a re-export by another tool.

Sources of a name, best first: the module scopes that torch's exporter records, the node's own name unless it was
generated, the weight it owns (``conv1.weight`` -> ``conv1``), its output's name, its operator with a number.
"""

from __future__ import annotations

import ast
import re
from collections import Counter

import onnx_ir as ir

from kakuri.model.graph import fresh_name

SCOPES_KEY = "pkg.torch.onnx.name_scopes"
_GENERATED = re.compile(r"node_.*|\d*|[a-z]\d+|[A-Z][A-Za-z]*_\d+|/.*")
_GENERATED_VALUE = re.compile(r"[a-z]\d+|\d+|val_\d+|[^A-Za-z]*|node_.*|/.*")
_WEIGHT = re.compile(r"(.+)\.(?:weight|bias|running_mean|running_var)(?:_\d+)?")
_NUMBER = re.compile(r"_\d+$")
_OLD_TORCH = re.compile(r"/(.+)/[A-Za-z]+(?:_\d+)?")


def name_nodes(net: ir.Model) -> None:
    """Rename, in place, the nodes of ``net`` as the module head says."""
    scopes = {node: scope for node in net.graph if (scope := _scope(node)) is not None}
    parents = {".".join(path.split(".")[:k]) for path, _ in scopes.values() for k in range(1, path.count(".") + 1)}
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    wanted = {node: _wanted(node, scopes, parents) for node in net.graph}
    for node, name in wanted.items():
        base = name
        if not base:
            numbers[node.op_type] += 1
            base = f"{node.op_type.lower()}{numbers[node.op_type]}"
        node.name = fresh_name(taken, base)


def _wanted(node: ir.Node, scopes: dict[ir.Node, tuple[str, str]], parents: set[str]) -> str:
    if node in scopes:
        return _scoped_name(node, scopes, parents)
    name = node.name or ""
    old_torch = _OLD_TORCH.fullmatch(name)
    if old_torch is not None:
        return old_torch[1].rsplit("/", 1)[-1]
    if name and not _GENERATED.fullmatch(name):
        return name
    for value in node.inputs[1:]:
        weight = _WEIGHT.fullmatch(value.name or "") if value is not None and value.is_initializer() else None
        if weight is not None:
            return weight[1]
    output = node.outputs[0].name or ""
    return output if not _GENERATED_VALUE.fullmatch(output) and not node.outputs[0].is_graph_output() else ""


def _scope(node: ir.Node) -> tuple[str, str] | None:
    """(module path, name inside the module) from torch's metadata; the path of the root module is empty."""
    try:
        scopes = ast.literal_eval(node.metadata_props.get(SCOPES_KEY, "[]")[:4096])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    usable = isinstance(scopes, list) and len(scopes) >= 2 and all(isinstance(scope, str) for scope in scopes)
    if not usable or not all(scope.isprintable() and len(scope) <= 256 for scope in scopes):
        return None
    return scopes[-2], scopes[-1]


def _scoped_name(node: ir.Node, scopes: dict[ir.Node, tuple[str, str]], parents: set[str]) -> str:
    path, inner = scopes[node]
    if not path:
        return inner
    if path in parents:
        return f"{path}.{_NUMBER.sub('', inner)}"
    inside = [user for output in node.outputs for user in output.consumers() if scopes.get(user, ("",))[0] == path]
    return f"{path}.{node.op_type.lower()}" if inside else path
