"""The C of a program whose steps threads share: one function that computes any share, one that calls a pool."""

from __future__ import annotations

from collections.abc import Callable

from kakuri.codegen import interface
from kakuri.codegen.program import Operation, Program

_GIVEN = "w->W, w->A, w->S + index * (ptrdiff_t){stride}, w->in, w->out"


def definitions(program: Program, body: Callable[[Operation], str], kind: str) -> list[str]:
    """At file scope, after the functions of the whole steps. kind: the macro before each function."""
    parts = [
        "typedef struct {\n    const unsigned char *W;\n    unsigned char *A, *S;\n    const void *const *in;\n"
        "    void *const *out;\n    int step;\n} kk_work;"
    ]
    most = max(map(len, program.shares))
    given = _GIVEN.format(stride=program.share_scratch_bytes)
    cases = []
    for step, shares in enumerate(program.shares):
        for index, share in enumerate(shares):
            name = f"s{step}_{index}" if len(shares) > 1 else f"s{step}"
            if len(shares) > 1:
                parts.append(f"{kind} void {name}({interface.RUN})\n{{\n{body(share)}\n}}")
            cases += [f"    case {step * most + index}:", f"        {name}({given});", "        return;"]
    parts.append(
        "static void kk_share(void *given, int index)\n{\n    const kk_work *w = given;\n"
        f"    switch (w->step * {most} + index) {{\n" + "\n".join(cases) + "\n    }\n}"
    )
    counts = ", ".join(str(len(shares)) for shares in program.shares)
    parts.append(
        f"{interface.HIDDEN} void KK_ENTRY_SHARED({interface.RUN_SHARED})\n{{\n"
        f"    static const unsigned char counts[] = {{{counts}}};\n    kk_work work = {{W, A, S, in, out, 0}};\n"
        f"    for (; work.step < {len(program.shares)}; work.step++) {{\n"
        "        if (counts[work.step] == 1)\n            kk_share(&work, 0);\n"
        "        else\n            run(pool, kk_share, &work, counts[work.step]);\n"
        "        KK_TRACE_STEP(work.step);\n    }\n}"
    )
    return parts
