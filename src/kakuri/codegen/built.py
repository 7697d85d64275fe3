"""A project in a folder: compiled and run from its ``build.json``, without the model it was made from.

Purpose: ``open_project(folder).run(inputs, key=...)``; ``kakuri run FOLDER`` uses it.
Guarantees: every file is the one that ``build.json`` states (SHA-256), and what is compiled is what it lists; compiled
files, inputs and the key live in a temporary folder of mode 0700; a crash of the C is an error, not a crash of Python.
Does not guarantee: anything about a folder from somebody else: running a project is running its maker's code.
Errors: KK-G20 no compiler, KK-G21 the compiler refuses, KK-G22 the program fails, KK-G23 inputs that do not fit,
KK-G24 not a project or a changed one, KK-G06 sealed weights without their key.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri import strict_json
from kakuri.codegen.form import LEVELS, Form
from kakuri.codegen.protect.draws import KEY_BYTES
from kakuri.codegen.views import ELEMENTS
from kakuri.errors import KakuriError
from kakuri.files import read_bounded

Array = NDArray[Any]
RECORD = "build.json"
_COMPILE_SECONDS, _RUN_SECONDS = 600, 600
_MAX_RECORD_BYTES, _MAX_FILE_BYTES = 1 << 20, 4 << 30
_NAME = re.compile(r"[A-Za-z0-9_]+(?:\.[a-z]+)?")


@dataclass(frozen=True)
class Tensor:
    """An input or output of the function."""

    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True)
class Project:
    """folder: where the files are. The other fields are those of ``build.json``."""

    folder: Path
    entry: str
    form: Form
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    compiler: str
    emulator: str
    common_flags: tuple[str, ...]
    sources: tuple[tuple[str, tuple[str, ...]], ...]
    test_sources: tuple[str, ...]
    link_flags: tuple[str, ...]
    libraries: tuple[str, ...]

    def compile(self, to: Path, *, trace: bool = False, shared: bool = False) -> Path:
        """The test program in folder ``to``, or with ``shared`` a shared library of the function alone."""
        compiler = os.environ.get("KAKURI_CC", self.compiler)
        if shutil.which(compiler) is None:
            raise KakuriError("KK-G20", "no such compiler", got=compiler, hint="install it, or set KAKURI_CC")
        to = to.resolve()
        objects = []
        common = [*self.common_flags, "-fPIC", *(["-DKK_TRACE"] if trace else [])]
        units = dict(self.sources) | ({} if shared else dict.fromkeys(self.test_sources, ()))
        for name, flags in units.items():
            objects.append(str(to / f"{name}.o"))
            self._tool([compiler, *common, *flags, "-c", name, "-o", objects[-1]])
        product = to / (f"lib{self.entry}.so" if shared else f"{self.entry}_main")
        static = ["-static"] if self.emulator and not shared else []
        rest = self.link_flags if shared else (*self.link_flags, *self.libraries)
        self._tool([compiler, *(["-shared"] if shared else static), *objects, *rest, "-o", str(product)])
        return product

    def _tool(self, command: list[str]) -> None:
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=_COMPILE_SECONDS
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or [""]
            raise KakuriError("KK-G21", "the compiler refuses the code", where=command[-3], got=lines[0][:200])

    def run(self, inputs: Sequence[Array], *, key: bytes = b"") -> list[Array]:
        """The outputs for one array per input, computed by the compiled test program."""
        arrays = self.arrays(inputs)
        with tempfile.TemporaryDirectory() as folder:
            return self.execute(self.compile(Path(folder)), Path(folder), arrays, key=key)[0]

    def arrays(self, inputs: Sequence[Array], names: Sequence[str] = ()) -> list[Array]:
        """One array per input, of its shape and type; names: of the inputs, for messages. Raises KK-G23."""
        if len(inputs) != len(self.inputs):
            raise KakuriError("KK-G23", "wrong number of inputs", got=len(inputs), limit=len(self.inputs))
        arrays = []
        for index, (array, tensor) in enumerate(zip(inputs, self.inputs, strict=True)):
            if np.shape(array) != tensor.shape:
                where = names[index] if names else f"input {index}"
                raise KakuriError(
                    "KK-G23", "an input has the wrong shape", where=where, got=np.shape(array), limit=tensor.shape
                )
            arrays.append(np.ascontiguousarray(array, dtype=tensor.dtype))
        return arrays

    def execute(
        self, program: Path, folder: Path, arrays: Sequence[Array], *, key: bytes = b"", trace: bool = False
    ) -> tuple[list[Array], bytes]:
        """The outputs and, with ``trace``, the arena after each step. folder: for files that only this run needs."""
        check_key(self.form, key)
        (folder / "in").write_bytes(b"".join(array.tobytes() for array in arrays))
        command = [
            *([self.emulator] if self.emulator else []),
            str(program),
            str(folder / "in"),
            str(folder / "out"),
            "1",
        ]
        if self.form.sealed:
            (folder / "key").write_bytes(key)
            command.append(str(folder / "key"))
        if self.form.external:
            command.append(str(self.folder.resolve() / f"{self.entry}_weights.bin"))
        command += [str(folder / "trace")] if trace else []
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_RUN_SECONDS)
        except OSError as error:
            raise KakuriError("KK-G22", "the program cannot be run", where=command[0], got=error.strerror) from error
        if done.returncode:
            raise KakuriError("KK-G22", "the program failed", got=f"exit {done.returncode} {done.stderr.strip()[:200]}")
        raw, at, outputs = (folder / "out").read_bytes(), 0, []
        for tensor in self.outputs:
            part = raw[at : at + tensor.size_bytes]
            outputs.append(np.frombuffer(part, dtype=tensor.dtype).reshape(tensor.shape))
            at += tensor.size_bytes
        return outputs, (folder / "trace").read_bytes() if trace else b""


def check_key(form: Form, key: bytes) -> None:
    """Raises KK-G06 unless ``key`` is what running a project of this form takes."""
    if form.sealed and len(key) != KEY_BYTES:
        raise KakuriError(
            "KK-G06",
            "sealed weights need their key",
            limit=f"{KEY_BYTES} bytes",
            hint="kakuri run FOLDER KEYFILE INPUT",
        )


def open_project(folder: Path) -> Project:
    """The project in ``folder``. Raises KK-F12, KK-F13 and KK-G24."""
    document = strict_json.decode(read_bounded(folder / RECORD, limit_bytes=_MAX_RECORD_BYTES), "KK-G24", RECORD)
    try:
        project = from_record(folder, document)
        digests = {str(name): str(digest) for name, digest in document["sha256"].items()}  # type: ignore[union-attr]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        got = f"{type(error).__name__}: {error}"[:80]
        raise KakuriError("KK-G24", "not the record of a project", where=folder / RECORD, got=got) from None
    used = {name for name, _ in project.sources} | set(project.test_sources) | set(digests)
    strange = sorted(name for name in used if not _NAME.fullmatch(name))
    changed = [name for name in sorted(used - set(strange)) if _digest(folder / name) != digests.get(name)]
    if strange or changed:
        hint = "build it again; a changed weights file needs `kakuri build codegen` too"
        raise KakuriError(
            "KK-G24", "files are not those of build.json", where=folder, got=strange or changed, hint=hint
        )
    return project


def from_record(folder: Path, document: Any) -> Project:
    """Raises KeyError, TypeError or ValueError for a document that is none."""
    protect, weights = document["protect"], document["weights"]
    if protect not in LEVELS or weights not in {"embedded", "external"} or not _NAME.fullmatch(document["entry"]):
        raise ValueError("no such form")
    inputs, outputs = (
        tuple(_tensor(item["dtype"], tuple(map(int, item["shape"])), int(item["bytes"])) for item in document[side])
        for side in ("inputs", "outputs")
    )
    return Project(
        folder=folder,
        entry=document["entry"],
        form=Form(weights == "external", protect, int(document.get("threads", 1))),
        inputs=inputs,
        outputs=outputs,
        compiler=str(document["compiler"]),
        emulator=str(document["emulator"]),
        common_flags=tuple(map(str, document["common_flags"])),
        sources=tuple((str(name), tuple(map(str, flags))) for name, flags in document["sources"].items()),
        test_sources=tuple(map(str, document["test_sources"])),
        link_flags=tuple(map(str, document["link_flags"])),
        libraries=tuple(map(str, document["libraries"])),
    )


def _tensor(dtype: str, shape: tuple[int, ...], size_bytes: int) -> Tensor:
    if dtype not in ELEMENTS or int(np.prod(shape, dtype=object)) * ELEMENTS[dtype].size_bytes != size_bytes:
        raise ValueError("a tensor's size")
    return Tensor(dtype, shape, size_bytes)


def _digest(path: Path) -> str:
    return hashlib.sha256(read_bounded(path, limit_bytes=_MAX_FILE_BYTES)).hexdigest()
