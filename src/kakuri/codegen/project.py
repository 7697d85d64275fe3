"""The parts of the emitted project that do not depend on the network's steps: header, dispatch, build files, record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kakuri.codegen.program import ALIGN_BYTES, Program
from kakuri.codegen.targets import Target
from kakuri.codegen.views import View
from kakuri.version import __version__

COMMON_FLAGS = (
    "-std=gnu11",
    "-O2",
    "-fno-strict-aliasing",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
)
_RUN = "(const unsigned char *W, unsigned char *A, unsigned char *S, const void *const *in, void *const *out)"


def header(program: Program, entry: str, weights_bytes: int, *, external: bool) -> str:
    upper = entry.upper()
    lines = [
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "#include <stddef.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {upper}_ARENA_BYTES {program.arena_bytes}",
        f"#define {upper}_ALIGN_BYTES {ALIGN_BYTES}",
        f"#define {upper}_INPUTS {len(program.inputs)}",
        f"#define {upper}_OUTPUTS {len(program.outputs)}",
    ]
    for word, views in (("INPUT", program.inputs), ("OUTPUT", program.outputs)):
        for index, view in enumerate(views):
            lines.append(f"/* {view.element.name} {' x '.join(map(str, view.shape)) or 'scalar'} */")
            lines.append(f"#define {upper}_{word}_{index}_BYTES {view.storage.size_bytes}")
    if external:
        lines.append(f"#define {upper}_WEIGHTS_BYTES {weights_bytes}")
    given = ",\n          const void *weights, size_t weights_bytes" if external else ""
    lines += [
        "",
        f"enum {{ {upper}_OK, {upper}_NO_ARGUMENT, {upper}_ARENA_SMALL, {upper}_ARENA_MISALIGNED"
        + (f", {upper}_WEIGHTS_SIZE, {upper}_WEIGHTS_MISALIGNED" if external else "")
        + " };",
        "",
        "/* Computes the outputs from the inputs. Arena"
        + (" and weights" if external else "")
        + " start at a multiple of",
        f"   {upper}_ALIGN_BYTES; inputs and outputs as their type wants, and overlap nothing. Only outputs and",
        "   arena are written, and neither when the result is not 0. Calls with different arenas may run together. */",
        f"int {entry}(const void *const inputs[], void *const outputs[], void *arena, size_t arena_bytes{given});",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def dispatch(program: Program, target: Target, entry: str, *, external: bool) -> str:
    upper = entry.upper()
    given = ", const void *weights, size_t weights_bytes" if external else ""
    lines = [f'#include "{entry}.h"', "#include <stdint.h>", ""]
    lines += [f"void {entry}_{isa.name}{_RUN};" for isa in target.isas]
    if not external:
        lines.append(f"extern const unsigned char {entry}_weights[];")
    lines += [
        "",
        f"int {entry}(const void *const inputs[], void *const outputs[], void *arena, size_t arena_bytes{given})",
        "{",
        "    if (!inputs || !outputs || !arena" + (" || !weights)" if external else ")"),
        f"        return {upper}_NO_ARGUMENT;",
        f"    for (int i = 0; i < {upper}_INPUTS; i++)",
        "        if (!inputs[i])",
        f"            return {upper}_NO_ARGUMENT;",
        f"    for (int i = 0; i < {upper}_OUTPUTS; i++)",
        "        if (!outputs[i])",
        f"            return {upper}_NO_ARGUMENT;",
        f"    if (arena_bytes < {upper}_ARENA_BYTES)",
        f"        return {upper}_ARENA_SMALL;",
        f"    if ((uintptr_t)arena % {upper}_ALIGN_BYTES)",
        f"        return {upper}_ARENA_MISALIGNED;",
    ]
    if external:
        lines += [
            f"    if (weights_bytes != {upper}_WEIGHTS_BYTES)",
            f"        return {upper}_WEIGHTS_SIZE;",
            f"    if ((uintptr_t)weights % {upper}_ALIGN_BYTES)",
            f"        return {upper}_WEIGHTS_MISALIGNED;",
        ]
    lines += [
        f"    const unsigned char *W = {'weights' if external else f'{entry}_weights'};",
        "    unsigned char *A = arena;",
        f"    unsigned char *S = A + {program.scratch_offset_bytes};",
    ]
    for isa in target.isas:
        call = f"{entry}_{isa.name}(W, A, S, inputs, outputs);"
        if isa is not target.isas[-1]:
            lines += [f"    if ({isa.test}) {{", f"        {call}", f"        return {upper}_OK;", "    }"]
        else:
            lines += [f"    {call}", f"    return {upper}_OK;"]
    return "\n".join([*lines, "}", ""])


def weights_unit(entry: str) -> str:
    """The blob, brought in by the assembler."""
    return "\n".join(
        [
            "#ifdef __APPLE__",
            '#error "the assembler directives below are those of ELF"',
            "#endif",
            "__asm__(",
            r'    ".pushsection .rodata.w,\"a\"\n"',
            r'    ".balign 64\n"',
            rf'    ".globl {entry}_weights\n"',
            rf'    ".hidden {entry}_weights\n"',
            rf'    "{entry}_weights:\n"',
            rf'    ".incbin \"{entry}_weights.bin\"\n"',
            r'    ".popsection\n");',
            "",
        ]
    )


def main(program: Program, entry: str, *, external: bool) -> str:
    """A program for tests: raw inputs in, raw outputs out, seconds; with KK_TRACE the arena after each step."""
    upper = entry.upper()
    in_sizes = ", ".join(str(view.storage.size_bytes) for view in program.inputs)
    out_sizes = ", ".join(str(view.storage.size_bytes) for view in program.outputs)
    call = "in, out, arena, sizeof arena" + (", weights, sizeof weights" if external else "")
    weights = (
        f"static unsigned char weights[{upper}_WEIGHTS_BYTES] __attribute__((aligned({ALIGN_BYTES})));"
        if external
        else ""
    )
    read = "read_all(argv[4], weights, sizeof weights);" if external else ""
    usage = "INPUTS OUTPUTS RUNS" + (" WEIGHTS" if external else "")
    return f"""/* usage: {usage}: files of raw tensors. Prints the seconds of every run: elapsed, and of the CPU. */
#include "{entry}.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static unsigned char arena[{upper}_ARENA_BYTES + {ALIGN_BYTES}] __attribute__((aligned({ALIGN_BYTES})));
static const size_t in_bytes[] = {{{in_sizes}}}, out_bytes[] = {{{out_sizes}}};
{weights}
#ifdef KK_TRACE
void kk_trace(int step);
static FILE *trace;
void kk_trace(int step)
{{
    (void)step;
    fwrite(arena, 1, {upper}_ARENA_BYTES, trace);
}}
#endif

static void stop(const char *what)
{{
    fprintf(stderr, "%s\\n", what);
    exit(1);
}}

static void read_all(const char *name, unsigned char *to, size_t bytes)
{{
    FILE *file = fopen(name, "rb");
    if (!file || fread(to, 1, bytes, file) != bytes)
        stop("cannot read");
    fclose(file);
}}

static double seconds(clockid_t clock)
{{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}}

int main(int argc, char **argv)
{{
    const void *in[{upper}_INPUTS];
    void *out[{upper}_OUTPUTS];
    size_t total = 0;
    if (argc < {5 if external else 4})
        stop("usage: {usage}");
    for (int i = 0; i < {upper}_INPUTS; i++)
        total += in_bytes[i];
    unsigned char *all = malloc(total);
    if (!all)
        stop("no memory");
    read_all(argv[1], all, total);
    {read}
    for (int i = 0, at = 0; i < {upper}_INPUTS; at += in_bytes[i++])
        in[i] = all + at;
    for (int i = 0; i < {upper}_OUTPUTS; i++)
        if (!(out[i] = malloc(out_bytes[i])))
            stop("no memory");
#ifdef KK_TRACE
    if (!(trace = fopen(argv[argc - 1], "wb")))
        stop("cannot write");
#endif
    for (int run = 0; run < atoi(argv[3]); run++) {{
        double elapsed = -seconds(CLOCK_MONOTONIC), busy = -seconds(CLOCK_PROCESS_CPUTIME_ID);
        int code = {entry}({call});
        elapsed += seconds(CLOCK_MONOTONIC);
        busy += seconds(CLOCK_PROCESS_CPUTIME_ID);
        if (code)
            stop("refused");
        printf("%.9f %.9f\\n", elapsed, busy);
    }}
    FILE *file = fopen(argv[2], "wb");
    for (int i = 0; file && i < {upper}_OUTPUTS; i++)
        if (fwrite(out[i], 1, out_bytes[i], file) != out_bytes[i])
            stop("cannot write");
    if (!file || fclose(file))
        stop("cannot write");
    return 0;
}}
"""


def sources(target: Target, entry: str, *, external: bool) -> dict[str, tuple[str, ...]]:
    """Source file of the library -> its compiler flags beside the common ones."""
    units: dict[str, tuple[str, ...]] = {f"{entry}.c": ()}
    units |= {f"{entry}_{isa.name}.c": isa.flags for isa in target.isas}
    return units if external else units | {f"{entry}_weights.c": ("-Wa,-I.",)}


def cmake(target: Target, entry: str, *, external: bool) -> str:
    units = sources(target, entry, external=external)
    lines = [
        "cmake_minimum_required(VERSION 3.16)",
        f"project({entry} C)",
        "if(NOT CMAKE_BUILD_TYPE)",
        "  set(CMAKE_BUILD_TYPE Release)",
        "endif()",
        'set(CMAKE_C_FLAGS_RELEASE "")',
        f"add_library({entry} STATIC {' '.join(units)})",
        f"target_include_directories({entry} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})",
        f"target_compile_options({entry} PRIVATE {' '.join(COMMON_FLAGS)} -fPIC)",
    ]
    for name, flags in units.items():
        options = ";".join(flags).replace("-Wa,-I.", "-Wa,-I${CMAKE_CURRENT_SOURCE_DIR}")
        if flags:
            lines.append(f'set_source_files_properties({name} PROPERTIES COMPILE_OPTIONS "{options}")')
    if not external:
        blob = f"${{CMAKE_CURRENT_SOURCE_DIR}}/{entry}_weights.bin"
        lines.append(f"set_source_files_properties({entry}_weights.c PROPERTIES OBJECT_DEPENDS {blob})")
    lines += [f"add_executable({entry}_main main.c)", f"target_link_libraries({entry}_main {entry})", ""]
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


def record(program: Program, target: Target, entry: str, weights: str, files: Mapping[str, bytes]) -> str:
    """``build.json``: interface, sizes, flags and the digest of every file; nothing that differs between machines."""
    document: dict[str, Any] = {
        "kakuri": __version__,
        "entry": entry,
        "target": target.name,
        "weights": weights,
        "inputs": [_interface(view) for view in program.inputs],
        "outputs": [_interface(view) for view in program.outputs],
        "arena_bytes": program.arena_bytes,
        "align_bytes": ALIGN_BYTES,
        "compiler": target.compiler,
        "common_flags": COMMON_FLAGS,
        "sources": sources(target, entry, external=weights == "external"),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    return json.dumps(document, indent=2) + "\n"


def _interface(view: View) -> dict[str, Any]:
    return {"dtype": view.element.name, "shape": view.shape, "bytes": view.storage.size_bytes}
