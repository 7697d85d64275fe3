"""The emitted function that opens sealed weights at load (level 3), and what both sealed levels share in C."""

from __future__ import annotations

from kakuri.codegen.form import Form
from kakuri.codegen.protect.seal import IDENTITY_BYTES
from kakuri.codegen.weights import ALIGN_BYTES


def declaration(entry: str, form: Form) -> list[str]:
    """For the header, of level 3."""
    upper = entry.upper()
    return [
        f"/* Opens the weights, once, for all calls of {entry}. They start at a multiple of {upper}_ALIGN_BYTES and",
        "   overlap nothing; when the result is not 0 nothing of them is there. */",
        f"{_signature(entry, form)};",
    ]


def unit(entry: str, form: Form) -> str:
    """The source file, of level 3."""
    upper = entry.upper()
    checks = ["!open || !key || !weights" + (" || !sealed" if form.external else "")]
    sizes = [f"weights_bytes != {upper}_WEIGHTS_BYTES"]
    sizes += [f"sealed_bytes != {upper}_SEALED_BYTES"] if form.external else []
    lines = [
        f'#include "{entry}.h"',
        f'#include "{entry}_sealed.h"',
        f'#include "{entry}_code.h"',
        "",
        *([] if form.external else [f"extern const unsigned char {entry}_weights[];", ""]),
        _signature(entry, form),
        "{",
        f"    if ({' || '.join(checks)})",
        f"        return {upper}_NO_ARGUMENT;",
        f"    if ({' || '.join(sizes)})",
        f"        return {upper}_WEIGHTS_SIZE;",
        f"    if ((uintptr_t)weights % {ALIGN_BYTES})",
        f"        return {upper}_WEIGHTS_MISALIGNED;",
        "    static const unsigned char code[] = KK_CODE;",
        "    kk_sealed o;",
        f"    kk_seal_begin(&o, open, key, {'sealed' if form.external else f'{entry}_weights'}, code);",
        f"    if (!kk_open_piece(&o, 0, {IDENTITY_BYTES}, {upper}_WEIGHTS_BYTES, weights))",
        f"        return {upper}_OK;",
        f"    kk_wipe(weights, {upper}_WEIGHTS_BYTES);",
        f"    return {upper}_WEIGHTS_REFUSED;",
        "}",
        "",
    ]
    return "\n".join(lines)


def code_header(digest: bytes) -> str:
    """The digest of the code that the weights are sealed for."""
    return "#define KK_CODE {" + ", ".join(map(str, digest)) + "}\n"


def _signature(entry: str, form: Form) -> str:
    sealed = "const void *sealed, size_t sealed_bytes, " if form.external else ""
    return f"int {entry}_open(kk_open_fn open, void *key, {sealed}void *weights, size_t weights_bytes)"
