"""A program as the files of a C project.

Purpose: put the steps, their runtime functions, the dispatch, the header and the build files together.
Guarantees: the same program gives the same bytes; no name of the model is in the C unless ``comments`` asks for it.
Does not guarantee: portability to compilers without GNU vector extensions (GCC 9 and Clang 12 have them).
"""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from collections.abc import Iterable, Mapping

from kakuri.codegen import interface, project
from kakuri.codegen.form import Form
from kakuri.codegen.main_program import main
from kakuri.codegen.program import Operation, Program
from kakuri.codegen.protect import opening
from kakuri.codegen.protect.seal import places, seal
from kakuri.codegen.sharing import definitions as sharing
from kakuri.codegen.targets import Isa, Target

Files = Mapping[str, bytes]
_WHOLE = re.compile(r"(\.\w+ = -?\d+)(?=[,}])")
SIDE_BY_SIDE = ("embedded", "external")
_ORDER = ("maths.h", "conv.h", "conv_short.h", "depthwise.h", "levels.h", "dot.h", "dot_short.h", "dot_depthwise.h")


def emit(
    program: Program, target: Target, entry: str, form: Form, *, key: bytes = b"", comments: bool = False
) -> Files:
    """File name -> content. key: 32 bytes, seals the weights of the levels that do."""
    texts = {
        f"{entry}.h": interface.header(program, entry, form),
        f"{entry}.c": interface.dispatch(program, target, entry, form),
        f"{entry}_kernels.h": _kernels(program),
        f"{entry}_steps.h": _steps(program, entry, form, comments=comments),
        "main.c": main(program, entry, form),
        "CMakeLists.txt": project.cmake(target, entry, form),
    }
    texts |= {f"{entry}_{isa.name}.c": _unit(program, isa, entry, form) for isa in target.isas}
    if not form.external:
        texts[f"{entry}_weights.c"] = project.weights_unit(entry)
    if target.emulator:
        texts["toolchain.cmake"] = project.toolchain(target)
    if form.shared:
        texts |= {name: _runtime(name) for name in ("kk_pool.h", "pool_pthread.c")}
    blob = program.weights.blob()
    if form.sealed:
        code = hashlib.sha256((texts[f"{entry}_kernels.h"] + texts[f"{entry}_steps.h"]).encode()).digest()
        texts |= _opening(entry, form, code)
        pieces = [part.plain for parts in program.parts for part in parts if part.plain] if form.by_panel else [blob]
        blob = seal(pieces, key, code)
    files = {name: text.encode() for name, text in texts.items()}
    files[f"{entry}_weights.bin"] = blob
    files["build.json"] = project.record(program, target, entry, form, files).encode()
    return files


def _opening(entry: str, form: Form, code: bytes) -> dict[str, str]:
    """The files that only sealed projects have. code: the digest of the steps."""
    texts = {name: _runtime(name) for name in ("kk_open.h", "open_libcrypto.c", "open_tee.c")}
    texts |= {f"{entry}_sealed.h": _runtime("sealed.h"), f"{entry}_code.h": opening.code_header(code)}
    return texts | ({f"{entry}_open.c": opening.unit(entry, form)} if form.opened_first else {})


def _runtime(name: str) -> str:
    return (importlib.resources.files("kakuri.codegen") / "runtime" / name).read_text(encoding="utf-8")


def _kernels(program: Program) -> str:
    """The runtime files that the program needs, as one header."""
    needed = {name for operation in program.operations for name in operation.runtime}
    order = ["vector.h", *(name for name in _ORDER if name in needed)]
    order += sorted(needed - set(order))
    return "\n".join(_runtime(name) for name in order)


def _steps(program: Program, entry: str, form: Form, *, comments: bool) -> str:
    """One function per step and the one that calls them in turn; included once per instruction set."""
    definitions = dict.fromkeys(text for operation in program.emitted for text in operation.definitions)
    parts = [
        f'#include "{entry}_kernels.h"',
        *([f'#include "{entry}_sealed.h"'] if form.by_panel else []),
        *(['#include "kk_pool.h"'] if form.shared else []),
        *definitions,
    ]
    kind = "KK_INLINE" if form.stripped else "KK_FUNCTION"
    result, signature = ("int", interface.RUN_BY_PANEL) if form.by_panel else ("void", interface.RUN)
    bodies = _opened_bodies(program) if form.by_panel else [operation.body() for operation in program.operations]
    bodies = [_without_tables(body) for body in bodies] if form.stripped else bodies
    for index, (operation, body) in enumerate(zip(program.operations, bodies, strict=True)):
        remark = f"/* {_comment(operation.name)} */\n" if comments else ""
        parts.append(f"{remark}{kind} {result} s{index}({signature})\n{{\n{_indented(body)}\n}}")
    given = "o, P, A, S, in, out" if form.by_panel else "W, A, S, in, out"
    lines = []
    for index in range(len(program.operations)):
        call = f"s{index}({given})"
        lines += [f"    if ({call})", "        return 1;"] if form.by_panel else [f"    {call};"]
        lines.append(f"    KK_TRACE_STEP({index});")
    parts.append(
        "#ifdef KK_TRACE\nvoid kk_trace(int step);\n#define KK_TRACE_STEP(step) kk_trace(step)\n"
        "#else\n#define KK_TRACE_STEP(step) (void)0\n#endif"
    )
    parts.append(
        f"{interface.HIDDEN} {result} KK_ENTRY({signature})\n{{\n"
        + "\n".join([*lines, *(["    return 0;"] if form.by_panel else [])])
        + "\n}"
    )
    if form.shared:
        parts += sharing(program, lambda item: _body(item, form), kind)
    return "\n\n".join(parts) + "\n"


def _body(operation: Operation, form: Form) -> str:
    return _indented(_without_tables(operation.body()) if form.stripped else operation.body())


def _opened_bodies(program: Program) -> list[str]:
    """Per operation: open a piece into the window, compute with it, and so on."""
    sizes = [len(part.plain) for parts in program.parts for part in parts if part.plain]
    pieces = iter(enumerate(zip(places(sizes), sizes, strict=False)))
    bodies = []
    for parts in program.parts:
        lines = ["const unsigned char *W = P;", "(void)W;"]
        for part in parts:
            if part.plain:
                number, (at, size) = next(pieces)
                lines += [f"if (kk_open_piece(o, {number}, {at}, {size}, P))", "    return 1;"]
            lines += ["{", _indented(part.operation.body()), "}"]
        bodies.append("\n".join([*lines, "return 0;"]))
    return bodies


def _without_tables(body: str) -> str:
    """Constants of kernels computed where they are used: a compiler that knew them would make tables of them."""
    lines = body.split("\n")
    tables = [index for index, line in enumerate(lines) if line.lstrip().startswith("KK_TABLE")]
    for index in tables:
        lines[index] = _WHOLE.sub(r"\1 + kk_nothing", lines[index])
    unknown = ["int kk_nothing = 0;", '__asm__("" : "+r"(kk_nothing));'] if tables else []
    return "\n".join(unknown + lines)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


def _unit(program: Program, isa: Isa, entry: str, form: Form) -> str:
    return "\n".join(
        [
            *(["#define KK_TABLE const"] if form.stripped else []),
            f"#define {isa.macro} 1",
            f"#define KK_VL {isa.lanes}",
            f"#define KK_MR {isa.pixels}",
            f"#define KK_MR_WIDE {isa.wide_pixels}",
            f"#define KK_TILES(X) {_listed(operation.tiles(isa) for operation in program.emitted)}",
            f"#define KK_DOT_MR {isa.dot_pixels}",
            f"#define KK_DOT_MR_WIDE {isa.dot_wide_pixels}",
            f"#define KK_DOT_TILES(X) {_listed(operation.dot_tiles(isa) for operation in program.emitted)}",
            f"#define KK_ENTRY {entry}_{isa.name}",
            *([f"#define KK_ENTRY_SHARED {entry}_{isa.name}_shared"] if form.shared else []),
            f'#include "{entry}_steps.h"',
            "",
        ]
    )


def _listed(tiles: Iterable[set[tuple[int, int]]]) -> str:
    """An X macro's calls: every (pixels, vectors) once."""
    return " ".join(f"X({pixels}, {vectors})" for pixels, vectors in sorted(set().union(*tiles)))


def _comment(name: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() and c not in "*/\\" else "_" for c in name)
