"""The worker program: generated C and the fixed sources of ``enclave/worker`` become one static ELF file.

Guarantees: compiled with the flags that ``kakuri.codegen`` states for the generated files; statically linked, position
    independent, so that nothing is loaded at run time; everything happens in a temporary folder.
Does not guarantee: reproducible bytes across compilers.
Needs: a C compiler and OpenSSL 3's static library (Debian: libssl-dev). Errors: KK-G20, KK-G21.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kakuri.codegen import CodegenPlan
from kakuri.codegen.project import COMMON_FLAGS, sources
from kakuri.enclave.fixed_code import digest_of, generated_sources, layout_header, packaged
from kakuri.errors import KakuriError

_SOURCES = ("crypto.c", "memory.c", "package.c", "sandbox.c", "worker.c")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2")
_SECONDS = 600


def worker_sources() -> dict[str, bytes]:
    """Name -> content of the fixed part."""
    return packaged("worker", (*_SOURCES, "worker.h")) | layout_header()


def code_digest(files: Mapping[str, bytes]) -> bytes:
    """SHA-256 over the generated C (weights excluded) and the fixed part: what the worker compares the index with."""
    return digest_of(generated_sources(files) | worker_sources())


def compile_worker(code: CodegenPlan, files: Mapping[str, bytes]) -> bytes:
    """The ELF file. files: of ``code.files()``."""
    compiler = os.environ.get("KAKURI_CC", "cc")
    if shutil.which(compiler) is None:
        raise KakuriError("KK-G20", "no such compiler", got=compiler, hint="install it, or set KAKURI_CC")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, data in {
            **generated_sources(files),
            **worker_sources(),
            "enclave_config.h": _config(code, files),
        }.items():
            (folder / file).write_bytes(data)
        generated = sources(code.target, code.entry, code.form)
        objects = [_object(compiler, folder, unit, (*COMMON_FLAGS, *flags)) for unit, flags in generated.items()]
        objects += [_object(compiler, folder, unit, _FLAGS) for unit in _SOURCES]
        _tool([compiler, "-static-pie", "-Wl,-z,relro,-z,now", *objects, "-o", "worker", "-lcrypto"], folder)
        _tool(["strip", "worker"], folder)
        return (folder / "worker").read_bytes()


def _config(code: CodegenPlan, files: Mapping[str, bytes]) -> bytes:
    program = code.program
    upper = code.entry.upper()
    inputs, outputs = ([v.storage.size_bytes for v in views] for views in (program.inputs, program.outputs))
    digest = ", ".join(f"0x{byte:02x}" for byte in code_digest(files))
    lines = [
        f'#include "{code.entry}.h"',
        f"#define KK_WEIGHTS_BYTES {upper}_WEIGHTS_BYTES",
        f"#define KK_ARENA_BYTES {max(program.arena_bytes, 64)}",
        f"#define KK_INPUTS {len(inputs)}",
        f"#define KK_OUTPUTS {len(outputs)}",
        f"#define KK_INPUT_BYTES {sum(inputs)}",
        f"#define KK_OUTPUT_BYTES {sum(outputs)}",
        f"#define KK_INPUT_SIZES {{{', '.join(map(str, inputs))}}}",
        f"#define KK_OUTPUT_SIZES {{{', '.join(map(str, outputs))}}}",
        f"#define KK_CODE_DIGEST {{{digest}}}",
        "",
    ]
    return "\n".join(lines).encode()


def _object(compiler: str, folder: Path, unit: str, flags: tuple[str, ...]) -> str:
    _tool([compiler, *flags, "-fPIE", "-c", unit, "-o", f"{unit}.o"], folder)
    return f"{unit}.o"


def _tool(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or [""]
        raise KakuriError(
            "KK-G21",
            "the compiler refuses the worker",
            where=command[0],
            got=lines[0][:200],
            hint="OpenSSL 3 with its static library is needed; Debian: apt-get install libssl-dev",
        )
