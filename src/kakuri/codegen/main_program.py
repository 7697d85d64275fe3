"""The test program of an emitted project."""

from __future__ import annotations

from kakuri.codegen.form import Form
from kakuri.codegen.program import Program
from kakuri.codegen.weights import ALIGN_BYTES


def _memory(upper: str, form: Form) -> str:
    """Where the test program keeps key and weights."""
    lines = []
    if form.takes_weights:
        aligned = f"__attribute__((aligned({ALIGN_BYTES})))"
        lines.append(f"static unsigned char weights[{upper}_WEIGHTS_BYTES] {aligned};")
    if form.sealed:
        lines.append("static unsigned char key[32];")
    if form.sealed and form.external:
        lines.append(f"static unsigned char sealed[{upper}_SEALED_BYTES];")
    return "\n".join(lines)


def _reading(entry: str, form: Form) -> str:
    """C that fills that memory."""
    lines = ["read_all(argv[4], key, sizeof key);"] if form.sealed else []
    if form.external:
        to = "sealed" if form.sealed else "weights"
        lines.append(f"read_all(argv[{4 + form.sealed}], {to}, sizeof {to});")
    if form.opened_first:
        sealed = "sealed, sizeof sealed, " if form.external else ""
        lines.append(f"if ({entry}_open(kk_open_libcrypto, key, {sealed}weights, sizeof weights))")
        lines.append('    stop("the weights are refused");')
    return "".join(f"    {line}\n" for line in lines)


def main(program: Program, entry: str, form: Form) -> str:
    """A program for tests: raw inputs in, raw outputs out, seconds; with KK_TRACE the arena after each step."""
    upper = entry.upper()
    in_sizes = ", ".join(str(view.storage.size_bytes) for view in program.inputs)
    out_sizes = ", ".join(str(view.storage.size_bytes) for view in program.outputs)
    call = "in, out, arena, sizeof arena"
    call += ", weights, sizeof weights" if form.takes_weights else ", kk_open_libcrypto, key" if form.by_panel else ""
    call += ", sealed, sizeof sealed" if form.by_panel and form.external else ""
    call = f"{entry}_shared({call}, kk_pool_pthread, pool)" if form.shared else f"{entry}({call})"
    begun = f'    void *pool = kk_pool_pthread_begin({upper}_THREADS);\n    if (!pool)\n        stop("no threads");\n'
    begun, ended = (begun, "    kk_pool_pthread_end(pool);\n") if form.shared else ("", "")
    usage = "INPUTS OUTPUTS RUNS" + (" KEY" if form.sealed else "") + (" WEIGHTS" if form.external else "")
    return f"""/* usage: {usage}: files of raw tensors. Prints the seconds of every run: elapsed, and of the CPU. */
#include "{entry}.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static unsigned char arena[{upper}_ARENA_BYTES + {ALIGN_BYTES}] __attribute__((aligned({ALIGN_BYTES})));
static const size_t in_bytes[] = {{{in_sizes}}}, out_bytes[] = {{{out_sizes}}};
{_memory(upper, form)}
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
    if (argc < {4 + form.sealed + form.external})
        stop("usage: {usage}");
    for (int i = 0; i < {upper}_INPUTS; i++)
        total += in_bytes[i];
    unsigned char *all = malloc(total);
    if (!all)
        stop("no memory");
    read_all(argv[1], all, total);
{_reading(entry, form)}    for (int i = 0, at = 0; i < {upper}_INPUTS; at += in_bytes[i++])
        in[i] = all + at;
    for (int i = 0; i < {upper}_OUTPUTS; i++)
        if (!(out[i] = malloc(out_bytes[i])))
            stop("no memory");
{begun}#ifdef KK_TRACE
    if (!(trace = fopen(argv[argc - 1], "wb")))
        stop("cannot write");
#endif
    for (int run = 0; run < atoi(argv[3]); run++) {{
        double elapsed = -seconds(CLOCK_MONOTONIC), busy = -seconds(CLOCK_PROCESS_CPUTIME_ID);
        int code = {call};
        elapsed += seconds(CLOCK_MONOTONIC);
        busy += seconds(CLOCK_PROCESS_CPUTIME_ID);
        if (code)
            stop("refused");
        printf("%.9f %.9f\\n", elapsed, busy);
    }}
{ended}    FILE *file = fopen(argv[2], "wb");
    for (int i = 0; file && i < {upper}_OUTPUTS; i++)
        if (fwrite(out[i], 1, out_bytes[i], file) != out_bytes[i])
            stop("cannot write");
    if (!file || fclose(file))
        stop("cannot write");
    return 0;
}}
"""
