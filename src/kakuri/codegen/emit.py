"""A program as the files of a C project.

Purpose: put the steps, their runtime functions, the dispatch, the header and the build files together.
Guarantees: the same program gives the same bytes; no name of the model is in the C unless ``comments`` asks for it.
Does not guarantee: portability to compilers without GNU vector extensions (GCC 9 and Clang 12 have them).
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Mapping

from kakuri.codegen import project
from kakuri.codegen.program import Program
from kakuri.codegen.targets import Isa, Target

Files = Mapping[str, bytes]
SIDE_BY_SIDE = ("embedded", "external")
_ORDER = ("maths.h", "conv.h", "depthwise.h", "levels.h", "dot.h", "dot_depthwise.h")
_SIGNATURE = "const unsigned char *W, unsigned char *A, unsigned char *S, const void *const *in, void *const *out"


def emit(program: Program, target: Target, entry: str, weights: str, *, comments: bool) -> Files:
    """File name -> content."""
    blob = program.weights.blob()
    external = weights == "external"
    texts = {
        f"{entry}.h": project.header(program, entry, len(blob), external=external),
        f"{entry}.c": project.dispatch(program, target, entry, external=external),
        f"{entry}_kernels.h": _kernels(program),
        f"{entry}_steps.h": _steps(program, entry, comments=comments),
        "main.c": project.main(program, entry, external=external),
        "CMakeLists.txt": project.cmake(target, entry, external=external),
    }
    texts |= {f"{entry}_{isa.name}.c": _unit(program, isa, entry) for isa in target.isas}
    if not external:
        texts[f"{entry}_weights.c"] = project.weights_unit(entry)
    if target.emulator:
        texts["toolchain.cmake"] = project.toolchain(target)
    files = {name: text.encode() for name, text in texts.items()}
    files[f"{entry}_weights.bin"] = blob
    files["build.json"] = project.record(program, target, entry, weights, files).encode()
    return files


def _kernels(program: Program) -> str:
    """The runtime files that the program needs, as one header."""
    needed = {name for operation in program.operations for name in operation.runtime}
    order = ["vector.h", *(name for name in _ORDER if name in needed)]
    order += sorted(needed - set(order))
    folder = importlib.resources.files("kakuri.codegen") / "runtime"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in order)


def _steps(program: Program, entry: str, *, comments: bool) -> str:
    """One function per step and the one that calls them in turn; included once per instruction set."""
    definitions = dict.fromkeys(text for operation in program.operations for text in operation.definitions)
    parts = [f'#include "{entry}_kernels.h"', *definitions]
    for index, operation in enumerate(program.operations):
        remark = f"/* {_comment(operation.name)} */\n" if comments else ""
        body = "\n".join(f"    {line}" for line in operation.body().split("\n"))
        parts.append(f"{remark}KK_FUNCTION void s{index}({_SIGNATURE})\n{{\n{body}\n}}")
    calls = [
        f"    s{index}(W, A, S, in, out);\n    KK_TRACE_STEP({index});" for index in range(len(program.operations))
    ]
    parts.append(
        "#ifdef KK_TRACE\nvoid kk_trace(int step);\n#define KK_TRACE_STEP(step) kk_trace(step)\n"
        "#else\n#define KK_TRACE_STEP(step) (void)0\n#endif"
    )
    parts.append(f"void KK_ENTRY({_SIGNATURE})\n{{\n" + "\n".join(calls) + "\n}")
    return "\n\n".join(parts) + "\n"


def _unit(program: Program, isa: Isa, entry: str) -> str:
    return "\n".join(
        [
            f"#define {isa.macro} 1",
            f"#define KK_VL {isa.lanes}",
            f"#define KK_MR {isa.pixels}",
            f"#define KK_MR_WIDE {isa.wide_pixels}",
            f"#define KK_TILES(X) {_listed(operation.tiles(isa) for operation in program.operations)}",
            f"#define KK_DOT_MR {isa.dot_pixels}",
            f"#define KK_DOT_MR_WIDE {isa.dot_wide_pixels}",
            f"#define KK_DOT_TILES(X) {_listed(operation.dot_tiles(isa) for operation in program.operations)}",
            f"#define KK_ENTRY {entry}_{isa.name}",
            f'#include "{entry}_steps.h"',
            "",
        ]
    )


def _listed(tiles: Iterable[set[tuple[int, int]]]) -> str:
    """An X macro's calls: every (pixels, vectors) once."""
    return " ".join(f"X({pixels}, {vectors})" for pixels, vectors in sorted(set().union(*tiles)))


def _comment(name: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() and c not in "*/\\" else "_" for c in name)
