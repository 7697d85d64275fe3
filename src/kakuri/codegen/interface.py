"""The header of an emitted project, and the function behind it: arguments checked, instruction set chosen."""

from __future__ import annotations

from kakuri.codegen.form import Form
from kakuri.codegen.program import Program
from kakuri.codegen.protect import opening
from kakuri.codegen.protect.seal import places
from kakuri.codegen.targets import Target
from kakuri.codegen.weights import ALIGN_BYTES

HIDDEN = '__attribute__((visibility("hidden")))'
RUN = "const unsigned char *W, unsigned char *A, unsigned char *S, const void *const *in, void *const *out"
RUN_SHARED = f"{RUN}, kk_pool_fn run, void *pool"
RUN_BY_PANEL = (
    "kk_sealed *o, unsigned char *P, unsigned char *A, unsigned char *S, const void *const *in, void *const *out"
)


def header(program: Program, entry: str, form: Form) -> str:
    upper = entry.upper()
    plain_bytes = len(program.weights.blob())
    lines = [
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        '#include "kk_open.h"' if form.sealed else "#include <stddef.h>",
        *(['#include "kk_pool.h"'] if form.shared else []),
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {upper}_ARENA_BYTES {program.arena_bytes}",
        f"#define {upper}_ALIGN_BYTES {ALIGN_BYTES}",
        *([f"#define {upper}_THREADS {form.threads}"] if form.shared else []),
        f"#define {upper}_INPUTS {len(program.inputs)}",
        f"#define {upper}_OUTPUTS {len(program.outputs)}",
    ]
    for word, views in (("INPUT", program.inputs), ("OUTPUT", program.outputs)):
        for index, view in enumerate(views):
            lines.append(f"/* {view.element.name} {' x '.join(map(str, view.shape)) or 'scalar'} */")
            lines.append(f"#define {upper}_{word}_{index}_BYTES {view.storage.size_bytes}")
    if form.takes_weights:
        lines.append(f"#define {upper}_WEIGHTS_BYTES {plain_bytes}")
    if form.sealed and form.external:
        sizes = [len(part.plain) for parts in program.parts for part in parts if part.plain]
        lines.append(f"#define {upper}_SEALED_BYTES {places(sizes if form.by_panel else [plain_bytes])[-1]}")
    lines += [
        "",
        "enum {",
        f"    {upper}_OK, {upper}_NO_ARGUMENT, {upper}_ARENA_SMALL, {upper}_ARENA_MISALIGNED, {upper}_WEIGHTS_SIZE,",
        f"    {upper}_WEIGHTS_MISALIGNED, {upper}_WEIGHTS_REFUSED",
        "};",
        "",
        *_promise(upper, form),
        f"{_signature(entry, form)};",
        *(["", *_promise_shared(entry, form), f"{_signature(entry, form, shared=True)};"] if form.shared else []),
        *(["", *opening.declaration(entry, form)] if form.opened_first else []),
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _promise(upper: str, form: Form) -> list[str]:
    both = "Arena and weights start" if form.takes_weights else "The arena starts"
    lines = [
        f"/* Computes the outputs from the inputs. {both} at a multiple of {upper}_ALIGN_BYTES; inputs and",
        "   outputs as their type wants, and overlap nothing. Only outputs and arena are written, and neither when the",
        "   result is not 0. Calls with different arenas may run together. */",
    ]
    if form.by_panel:
        lines[2:] = [
            "   result is not 0; but when weights are refused, outputs and arena are zeros. Calls with different",
            "   arenas may run together where `open` allows it. */",
        ]
    return lines


def _promise_shared(entry: str, form: Form) -> list[str]:
    return [
        f"/* As {entry}, to the bit, with each step cut into at most {form.threads} shares: `run` is called from this",
        "   thread, once per step that is worth it, and has them computed. Nothing else is waited for. */",
    ]


def _signature(entry: str, form: Form, *, shared: bool = False) -> str:
    given = ""
    if form.takes_weights:
        given = ",\n          const void *weights, size_t weights_bytes"
    elif form.by_panel:
        given = ",\n          kk_open_fn open, void *key"
        given += ", const void *sealed, size_t sealed_bytes" if form.external else ""
    given += ",\n          kk_pool_fn run, void *pool" if shared else ""
    name = f"{entry}_shared" if shared else entry
    return f"int {name}(const void *const inputs[], void *const outputs[], void *arena, size_t arena_bytes{given})"


def dispatch(program: Program, target: Target, entry: str, form: Form) -> str:
    lines = [f'#include "{entry}.h"', "#include <stdint.h>"]
    if form.by_panel:
        lines += [f'#include "{entry}_sealed.h"', f'#include "{entry}_code.h"']
    result, run = ("int", RUN_BY_PANEL) if form.by_panel else ("void", RUN)
    lines += ["", *(f"{HIDDEN} {result} {entry}_{isa.name}({run});" for isa in target.isas)]
    if form.shared:
        lines += [f"{HIDDEN} void {entry}_{isa.name}_shared({RUN_SHARED});" for isa in target.isas]
    inside = not form.external and not form.takes_weights
    if inside:
        lines.append(f"extern const unsigned char {entry}_weights[];")
    lines += _function(program, target, entry, form, shared=False)
    lines += _function(program, target, entry, form, shared=True) if form.shared else []
    return "\n".join([*lines, ""])


def _function(program: Program, target: Target, entry: str, form: Form, *, shared: bool) -> list[str]:
    """Arguments checked, instruction set chosen."""
    upper = entry.upper()
    pointers = ["!inputs", "!outputs", "!arena"]
    pointers += ["!weights"] if form.takes_weights else ["!open", "!key"] if form.by_panel else []
    pointers += ["!sealed"] if form.by_panel and form.external else []
    pointers += ["!run"] if shared else []
    lines = [
        "",
        _signature(entry, form, shared=shared),
        "{",
        f"    if ({' || '.join(pointers)})",
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
    if form.takes_weights:
        lines += [
            f"    if (weights_bytes != {upper}_WEIGHTS_BYTES)",
            f"        return {upper}_WEIGHTS_SIZE;",
            f"    if ((uintptr_t)weights % {upper}_ALIGN_BYTES)",
            f"        return {upper}_WEIGHTS_MISALIGNED;",
        ]
    elif form.by_panel and form.external:
        lines += [f"    if (sealed_bytes != {upper}_SEALED_BYTES)", f"        return {upper}_WEIGHTS_SIZE;"]
    lines += ["    unsigned char *A = arena;", f"    unsigned char *S = A + {program.scratch_offset_bytes};"]
    inside = not form.external and not form.takes_weights
    blob = f"{entry}_weights" if inside else "weights" if form.takes_weights else "sealed"
    lines += _by_panel(program, target, entry, blob) if form.by_panel else _at_once(target, entry, blob, shared=shared)
    return [*lines, "}"]


def _at_once(target: Target, entry: str, blob: str, *, shared: bool) -> list[str]:
    lines = [f"    const unsigned char *W = {blob};"]
    for isa in target.isas:
        call = f"{entry}_{isa.name}(W, A, S, inputs, outputs);"
        if shared:
            call = f"{entry}_{isa.name}_shared(W, A, S, inputs, outputs, run, pool);"
        if isa is not target.isas[-1]:
            lines += [f"    if ({isa.test}) {{", f"        {call}", f"        return {entry.upper()}_OK;", "    }"]
        else:
            lines += [f"    {call}", f"    return {entry.upper()}_OK;"]
    return lines


def _by_panel(program: Program, target: Target, entry: str, blob: str) -> list[str]:
    upper = entry.upper()
    window = program.arena_bytes - program.window_offset_bytes
    lines = [
        f"    unsigned char *P = A + {program.window_offset_bytes};",
        "    static const unsigned char code[] = KK_CODE;",
        "    kk_sealed o;",
        f"    kk_seal_begin(&o, open, key, {blob}, code);",
        "    int refused;",
    ]
    for isa in target.isas:
        call = f"refused = {entry}_{isa.name}(&o, P, A, S, inputs, outputs);"
        test = "" if isa is target.isas[-1] else f"if ({isa.test})\n        "
        lines.append(
            ("    " if isa is target.isas[0] else "    else\n        " if not test else "    else ") + test + call
        )
    lines += [f"    kk_wipe(P, {window});", "    if (!refused)", f"        return {upper}_OK;"]
    lines += [f"    kk_wipe(A, {program.window_offset_bytes});"]
    lines += [f"    kk_wipe(outputs[{i}], {upper}_OUTPUT_{i}_BYTES);" for i in range(len(program.outputs))]
    return [*lines, f"    return {upper}_WEIGHTS_REFUSED;"]
