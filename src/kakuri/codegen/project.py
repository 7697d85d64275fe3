"""The build files of an emitted project and its record: what is compiled, with which flags, and what came out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kakuri.codegen.form import Form
from kakuri.codegen.program import Program
from kakuri.codegen.targets import Target
from kakuri.codegen.views import View
from kakuri.codegen.weights import ALIGN_BYTES
from kakuri.version import __version__

COMMON_FLAGS = (
    "-std=gnu11",
    "-O2",
    "-fno-strict-aliasing",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
)
_STRIPPED_FLAGS = ("-fno-ident", "-fno-asynchronous-unwind-tables")


def common_flags(form: Form) -> tuple[str, ...]:
    """For every unit of the library."""
    return (*COMMON_FLAGS, *_STRIPPED_FLAGS) if form.stripped else COMMON_FLAGS


def weights_unit(entry: str) -> str:
    """The blob, brought in by an ELF assembler, or as text that the build made of it."""
    return "\n".join(
        [
            "#ifdef KK_WEIGHTS_AS_TEXT",
            f"extern const unsigned char {entry}_weights[];",
            f"__attribute__((aligned({ALIGN_BYTES}))) const unsigned char {entry}_weights[] = {{",
            f'#include "{entry}_weights.inc"',
            "};",
            "#else",
            "#ifdef __APPLE__",
            '#error "the assembler directives below are those of ELF: cmake -DKK_WEIGHTS_AS_TEXT=ON"',
            "#endif",
            "__asm__(",
            r'    ".pushsection .rodata.w,\"a\"\n"',
            rf'    ".balign {ALIGN_BYTES}\n"',
            rf'    ".globl {entry}_weights\n"',
            rf'    ".hidden {entry}_weights\n"',
            rf'    "{entry}_weights:\n"',
            rf'    ".incbin \"{entry}_weights.bin\"\n"',
            r'    ".popsection\n");',
            "#endif",
            "",
        ]
    )


def sources(target: Target, entry: str, form: Form) -> dict[str, tuple[str, ...]]:
    """Source file of the library -> its compiler flags beside the common ones."""
    units: dict[str, tuple[str, ...]] = {f"{entry}.c": ()}
    units |= {f"{entry}_{isa.name}.c": isa.flags for isa in target.isas}
    units |= {f"{entry}_open.c": ()} if form.opened_first else {}
    return units if form.external else units | {f"{entry}_weights.c": ("-Wa,-I.",)}


def test_sources(form: Form) -> tuple[str, ...]:
    """What the test program consists of beside the library."""
    return ("main.c", *(["open_libcrypto.c"] if form.sealed else []), *(["pool_pthread.c"] if form.shared else []))


def link_flags(form: Form) -> tuple[str, ...]:
    """For whatever the library ends up in."""
    return ("-s",) if form.stripped else ()


def libraries(form: Form) -> tuple[str, ...]:
    """That the test program links."""
    return (*(["-lcrypto"] if form.sealed else []), *(["-pthread"] if form.shared else []))


def cmake(target: Target, entry: str, form: Form) -> str:
    units = sources(target, entry, form)
    common = (*common_flags(form), "-fPIC")
    lines = [
        "cmake_minimum_required(VERSION 3.16)",
        f"project({entry} C)",
        "if(NOT CMAKE_BUILD_TYPE)",
        "  set(CMAKE_BUILD_TYPE Release)",
        "endif()",
        'set(CMAKE_C_FLAGS_RELEASE "")',
        f"add_library({entry} STATIC {' '.join(units)})",
        f"target_include_directories({entry} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})",
        f"target_compile_options({entry} PRIVATE {' '.join(common)})",
    ]
    if link_flags(form):
        lines.append(f"target_link_options({entry} INTERFACE {' '.join(link_flags(form))})")
    for name, flags in units.items():
        options = ";".join(flags).replace("-Wa,-I.", "-Wa,-I${CMAKE_CURRENT_SOURCE_DIR}")
        if flags:
            lines.append(f'set_source_files_properties({name} PROPERTIES COMPILE_OPTIONS "{options}")')
    if not form.external:
        blob = f"${{CMAKE_CURRENT_SOURCE_DIR}}/{entry}_weights.bin"
        lines.append(f"set_source_files_properties({entry}_weights.c PROPERTIES OBJECT_DEPENDS {blob})")
        lines += [
            'option(KK_WEIGHTS_AS_TEXT "for assemblers without .incbin; compiling takes longer" OFF)',
            "if(KK_WEIGHTS_AS_TEXT)",
            f"  file(READ {blob} bytes HEX)",
            '  string(REGEX REPLACE "(..)" "0x\\\\1," bytes "${bytes}")',
            f'  file(WRITE ${{CMAKE_CURRENT_BINARY_DIR}}/{entry}_weights.inc "${{bytes}}\\n")',
            f"  target_include_directories({entry} PRIVATE ${{CMAKE_CURRENT_BINARY_DIR}})",
            f"  target_compile_definitions({entry} PRIVATE KK_WEIGHTS_AS_TEXT)",
            "endif()",
        ]
    linked = [entry]
    if form.sealed:
        lines.append("find_package(OpenSSL 3 REQUIRED COMPONENTS Crypto)")
        linked.append("OpenSSL::Crypto")
    if form.shared:
        lines += ["set(THREADS_PREFER_PTHREAD_FLAG ON)", "find_package(Threads REQUIRED)"]
        linked.append("Threads::Threads")
    lines += [f"add_executable({entry}_main {' '.join(test_sources(form))})"]
    lines += [f"target_link_libraries({entry}_main {' '.join(linked)})", ""]
    return "\n".join(lines)


def toolchain(target: Target) -> str:
    """For ``cmake -DCMAKE_TOOLCHAIN_FILE=toolchain.cmake``."""
    return "\n".join(
        [
            "set(CMAKE_SYSTEM_NAME Linux)",
            "set(CMAKE_SYSTEM_PROCESSOR aarch64)",
            f"set(CMAKE_C_COMPILER {target.compiler})",
            f"set(CMAKE_CROSSCOMPILING_EMULATOR {target.emulator})",
            "",
        ]
    )


def record(program: Program, target: Target, entry: str, form: Form, files: Mapping[str, bytes]) -> str:
    """``build.json``: interface, sizes, flags and the digest of every file; nothing that differs between machines."""
    document: dict[str, Any] = {
        "kakuri": __version__,
        "entry": entry,
        "target": target.name,
        "protect": form.protect,
        "weights": "external" if form.external else "embedded",
        "threads": form.threads,
        "inputs": [_interface(view) for view in program.inputs],
        "outputs": [_interface(view) for view in program.outputs],
        "arena_bytes": program.arena_bytes,
        "align_bytes": ALIGN_BYTES,
        "compiler": target.compiler,
        "emulator": target.emulator,
        "common_flags": common_flags(form),
        "sources": sources(target, entry, form),
        "test_sources": test_sources(form),
        "link_flags": link_flags(form),
        "libraries": libraries(form),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    return json.dumps(document, indent=2) + "\n"


def _interface(view: View) -> dict[str, Any]:
    return {"dtype": view.element.name, "shape": view.shape, "bytes": view.storage.size_bytes}
