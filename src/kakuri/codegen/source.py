"""An emitted project: written, compiled, run, compared.

Purpose: ``source.check(inputs)`` builds the C with the flags it states, runs it in a process of its own and compares
every output, on request every layer, with ONNX Runtime on the source model.
Guarantees: compiled files and inputs live in a temporary folder; a crash of the C is an error, not a crash of Python.
Does not guarantee: that other compilers give the same floats; instruction sets differ in the last bits too.
Errors: KK-G20 no compiler, KK-G21 the compiler refuses, KK-G22 the program fails, KK-G23 inputs that do not fit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.codegen.comparison import Comparison, compare
from kakuri.codegen.project import COMMON_FLAGS, sources
from kakuri.codegen.reference import outputs_of
from kakuri.codegen.views import Kind, View
from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.model.quantized import integer_values, regions

if TYPE_CHECKING:
    from kakuri.codegen.planning import CodegenPlan

Array = NDArray[Any]
Inputs = Array | Sequence[Array] | Mapping[str, Array]
_COMPILE_SECONDS, _RUN_SECONDS = 600, 600


@dataclass(frozen=True)
class Source:
    """folder: where the project is. plan: what it was made from."""

    folder: Path
    plan: CodegenPlan

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
        return cls(folder, plan)

    def compile(self, to: Path, *, trace: bool = False, shared: bool = False) -> Path:
        """The test program in folder ``to``, or with ``shared`` a shared library of the function alone."""
        plan, external = self.plan, self.plan.weights == "external"
        compiler = os.environ.get("KAKURI_CC", plan.target.compiler)
        if shutil.which(compiler) is None:
            raise KakuriError("KK-G20", "no such compiler", got=compiler, hint="install it, or set KAKURI_CC")
        to = to.resolve()
        objects = []
        common = [*COMMON_FLAGS, "-fPIC", *(["-DKK_TRACE"] if trace else [])]
        units = dict(sources(plan.target, plan.entry, external=external)) | ({} if shared else {"main.c": ()})
        for name, flags in units.items():
            objects.append(to / f"{name}.o")
            self._tool([compiler, *common, *flags, "-c", name, "-o", str(objects[-1])])
        product = to / (f"lib{plan.entry}.so" if shared else f"{plan.entry}_main")
        static = ["-static"] if plan.target.emulator and not shared else []
        self._tool([compiler, *(["-shared"] if shared else static), *map(str, objects), "-o", str(product)])
        return product

    def _tool(self, command: list[str]) -> None:
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=_COMPILE_SECONDS
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or [""]
            raise KakuriError("KK-G21", "the compiler refuses the code", where=command[-3], got=lines[0][:200])

    def run(self, inputs: Inputs) -> list[Array]:
        """The outputs for one set of inputs, computed by the compiled test program."""
        with tempfile.TemporaryDirectory() as folder:
            program = self.compile(Path(folder))
            return self._run(program, Path(folder), self._arrays(inputs))[0]

    def check(self, inputs: Inputs, *, layers: bool = False) -> Comparison:
        """Compare with ONNX Runtime, a quantised network with the source's reference kernels.

        layers: every value that the program keeps, not only the outputs.
        """
        plan, arrays = self.plan, self._arrays(inputs)
        with tempfile.TemporaryDirectory() as folder:
            program = self.compile(Path(folder), trace=layers)
            outputs, trace = self._run(program, Path(folder), arrays, trace=layers)
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
        return compare(pairs)

    def _arrays(self, inputs: Inputs) -> list[Array]:
        """One array per input, of its shape and type."""
        program = self.plan.program
        if isinstance(inputs, Mapping):
            missing = [name for name in program.input_names if name not in inputs]
            if missing:
                raise KakuriError("KK-G23", "an input is missing", got=missing, limit=program.input_names)
            given = [inputs[name] for name in program.input_names]
        else:
            given = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        if len(given) != len(program.inputs):
            raise KakuriError("KK-G23", "wrong number of inputs", got=len(given), limit=len(program.inputs))
        arrays = []
        for name, array, view in zip(program.input_names, given, program.inputs, strict=True):
            if np.shape(array) != view.shape:
                raise KakuriError(
                    "KK-G23", "an input has the wrong shape", where=name, got=np.shape(array), limit=view.shape
                )
            arrays.append(np.ascontiguousarray(array, dtype=view.element.name))
        return arrays

    def _run(
        self, program: Path, folder: Path, arrays: list[Array], *, trace: bool = False
    ) -> tuple[list[Array], bytes]:
        (folder / "in").write_bytes(b"".join(array.tobytes() for array in arrays))
        command = [str(program), str(folder / "in"), str(folder / "out"), "1"]
        if self.plan.weights == "external":
            command.append(str(self.folder.resolve() / f"{self.plan.entry}_weights.bin"))
        emulator = self.plan.target.emulator
        command = [*([emulator] if emulator else []), *command, *([str(folder / "trace")] if trace else [])]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_RUN_SECONDS)
        except OSError as error:
            raise KakuriError("KK-G22", "the program cannot be run", where=command[0], got=error.strerror) from error
        if done.returncode:
            raise KakuriError("KK-G22", "the program failed", got=f"exit {done.returncode} {done.stderr.strip()[:200]}")
        raw, at, outputs = (folder / "out").read_bytes(), 0, []
        for view in self.plan.program.outputs:
            size = view.storage.size_bytes
            outputs.append(np.frombuffer(raw[at : at + size], dtype=view.element.name).reshape(view.shape))
            at += size
        return outputs, (folder / "trace").read_bytes() if trace else b""

    def _kept(self, trace: bytes) -> list[tuple[str, Array]]:
        """(value name, array) for every arena value that a step writes, as it was right after that step."""
        program = self.plan.program
        writers: dict[View, list[int]] = defaultdict(list)
        for index, operation in enumerate(program.operations):
            for view in operation.writes:
                writers[view].append(index)
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
