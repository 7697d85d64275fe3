"""Many small networks as one, so that one compilation and one run of the C test them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

import kakuri as kk
from kakuri.codegen.comparison import Comparison
from kakuri.errors import KakuriError
from kakuri.model.quantized.reading import SOURCE_KEY
from tests.unit.model.builders import loaded


@dataclass
class Together:
    """``add`` networks with their inputs; ``check`` compares every output with ONNX Runtime's."""

    graph: onnx.GraphProto = field(default_factory=lambda: onnx.GraphProto(name="together"))
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def add(self, proto: onnx.ModelProto, inputs: Mapping[str, np.ndarray], name: str = "") -> None:
        """Raises KakuriError, and adds nothing, for a network that cannot be loaded or has no C."""
        self.add_net(loaded(proto), inputs, name)

    def add_net(self, net: ir.Model, inputs: Mapping[str, np.ndarray], name: str = "") -> None:
        """As ``add``, of a network in normal form."""
        report = kk.check(net, "codegen")
        if report.problems:
            raise KakuriError("KK-G01", str(report))
        prefix = f"{name or 'case'}/{self.count}/"
        part = onnx.compose.add_prefix(ir.to_proto(net), prefix).graph
        marked = zip(net.graph, part.node, strict=True)
        self.marks |= {
            new.name: old.metadata_props[SOURCE_KEY] for old, new in marked if SOURCE_KEY in old.metadata_props
        }
        self.graph.node.extend(part.node)
        self.graph.initializer.extend(part.initializer)
        self.graph.input.extend(part.input)
        self.graph.output.extend(part.output)
        self.inputs |= {prefix + key: value for key, value in inputs.items()}
        self.count += 1

    def check(self, folder: Path, target: str, *, threads: int = 1) -> Comparison:
        domains = [onnx.helper.make_opsetid("", 20)]
        net = loaded(onnx.helper.make_model(self.graph, opset_imports=domains, ir_version=9))
        mark(net, self.marks)
        wanted = {value.name: self.inputs[str(value.name)] for value in net.graph.inputs}
        return kk.codegen.plan(net, target=target, threads=threads).build(folder).check(wanted)


def mark(net: ir.Model, marks: Mapping[str, str]) -> None:
    """Say again, after loading, which nodes (by name) round as their source does."""
    for node in net.graph:
        if node.name in marks:
            node.metadata_props[SOURCE_KEY] = marks[node.name]


def assert_close(found: Comparison, relative: float = 1e-4) -> None:
    far = [str(item) for item in found.differences if not (item.relative <= relative or item.absolute < 1e-6)]
    assert not far, far
