"""A project and the plan it was made from: run, and compared with the source model.

Purpose: ``source.check(inputs)`` builds the C with the flags it states, runs it in a process of its own and compares
every output, on request every layer, with ONNX Runtime on the source model.
Does not guarantee: that other compilers give the same floats; instruction sets differ in the last bits too.
Errors: those of ``kakuri.codegen.built``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.codegen.built import RECORD, Project, from_record
from kakuri.codegen.comparison import Comparison, compare
from kakuri.codegen.reference import outputs_of
from kakuri.codegen.views import Kind, View
from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.model.quantized import integer_values, regions

if TYPE_CHECKING:
    from kakuri.codegen.planning import CodegenPlan

Array = NDArray[Any]
Inputs = Array | Sequence[Array] | Mapping[str, Array]


@dataclass(frozen=True)
class Source:
    """project: the files, as they were written. plan: what they were made from."""

    project: Project
    plan: CodegenPlan

    @property
    def folder(self) -> Path:
        return self.project.folder

    @classmethod
    def write(cls, folder: Path, files: Mapping[str, bytes], plan: CodegenPlan, *, overwrite: bool) -> Source:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KakuriError("KK-F10", f"cannot make the folder: {error.strerror}", where=folder) from error
        for name in files if not overwrite else ():
            if os.path.lexists(folder / name):
                raise KakuriError(
                    "KK-F11", "file exists and is not replaced", where=folder / name, hint="overwrite=True; --force"
                )
        for name, content in files.items():
            with atomic_write(folder / name, overwrite=overwrite) as file:
                file.write(content)
        return cls(from_record(folder, json.loads(files[RECORD])), plan)

    def compile(self, to: Path, *, shared: bool = False) -> Path:
        """As ``Project.compile``."""
        return self.project.compile(to, shared=shared)

    def run(self, inputs: Inputs) -> list[Array]:
        """The outputs for one set of inputs, computed by the compiled test program."""
        return self.project.run(self._arrays(inputs), key=self.plan.key)

    def check(self, inputs: Inputs, *, layers: bool = False) -> Comparison:
        """Compare with ONNX Runtime, a quantised network with the source's reference kernels.

        layers: every value that the program keeps, not only the outputs.
        """
        return self.run_and_check(inputs, layers=layers)[1]

    def run_and_check(self, inputs: Inputs, *, layers: bool = False) -> tuple[list[Array], Comparison]:
        """The outputs, and what ``check`` says of the same run."""
        plan, arrays = self.plan, self._arrays(inputs)
        with tempfile.TemporaryDirectory() as folder:
            program = self.project.compile(Path(folder), trace=layers)
            outputs, trace = self.project.execute(program, Path(folder), arrays, key=plan.key, trace=layers)
        names = plan.program.output_names
        given = dict(zip(plan.program.input_names, arrays, strict=True))
        oracle = _in_integers if regions(plan.net) else outputs_of
        expected = oracle(plan.source, given, names)
        pairs = list(zip(names, outputs, expected, strict=True))
        if layers:
            kept = self._kept(trace)
            wanted = oracle(plan.net, given, [name for name, _ in kept])
            pairs = [
                (name, got.reshape(want.shape), want) for (name, got), want in zip(kept, wanted, strict=True)
            ] + pairs
        return list(outputs), compare(pairs)

    def _arrays(self, inputs: Inputs) -> list[Array]:
        """One array per input, of its shape and type."""
        names = self.plan.program.input_names
        if isinstance(inputs, Mapping):
            missing = [name for name in names if name not in inputs]
            if missing:
                raise KakuriError("KK-G23", "an input is missing", got=missing, limit=names)
            given = [inputs[name] for name in names]
        else:
            given = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        return self.project.arrays(given, names)

    def _kept(self, trace: bytes) -> list[tuple[str, Array]]:
        """(value name, array) for every arena value that a step writes, as it was right after its layer's last step."""
        program = self.plan.program
        ends = {
            (operation.name, view.storage): index
            for index, operation in enumerate(program.operations)
            for view in operation.writes
        }
        writers: dict[View, list[int]] = defaultdict(list)
        for operation in program.operations:
            for view in operation.writes:
                writers[view].append(ends[operation.name, view.storage])
        values: dict[View, list[str]] = defaultdict(list)
        for name, view in program.values.items():
            if view.storage.kind is Kind.ARENA:
                values[view.four_axes() if len(view.shape) == 3 and view not in writers else view].append(name)
        graph = self.plan.net.graph
        computed = [*graph.inputs, *(value for node in graph for value in node.outputs)]
        signed = {value.name for value in computed if value.dtype == ir.DataType.INT8}
        found = []
        for view, names in values.items():  # several names: each was computed in place of the one before
            for name, step in zip(names, writers.get(view, [])[-len(names) :], strict=False):
                arena = np.frombuffer(trace, np.uint8, program.arena_bytes, step * program.arena_bytes)
                whole = arena[view.storage.offset_bytes :][: view.storage.size_bytes].view(view.element.name)
                strides = [stride * view.element.size_bytes for stride in view.strides]
                array = np.lib.stride_tricks.as_strided(whole[view.offset :], view.shape, strides).copy()
                if name in signed:
                    array = (array ^ np.uint8(128)).view(np.int8)
                found.append((name, array))
        return found


def _in_integers(net: ir.Model, inputs: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
    values = integer_values(net, [inputs[value.name or ""] for value in net.graph.inputs], names)
    return [values[name] for name in names]
