"""Library calls, listed and hooked: what a program asks others to do for it, and what they hand back.

Purpose: an inference library's calls name layers and hold weights; a decryption's calls hold the plaintext.
Method: the functions that the files import; then the program is run with a library put before libcrypto that copies
what ``EVP_DecryptUpdate`` writes. Programs without such calls give nothing.
Does not guarantee: to reach a cipher that is compiled in; ``memory_scan`` does.
Needs: a C compiler and a program that is linked dynamically.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from kakuri.attacks.extraction.artefact import Artefact, Detail, Extraction, Truth, pairs_of, words_of
from kakuri.attacks.extraction.elf import imported

_LIBRARIES = ("TfLite", "Ort", "xnn_", "cblas_", "dnnl_", "MNN", "ncnn")
_SECONDS = 120
_HOOK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
typedef int decrypt(void *, unsigned char *, int *, const unsigned char *, int);
int EVP_DecryptUpdate(void *context, unsigned char *out, int *bytes, const unsigned char *in, int size)
{
    static FILE *log;
    static long left = 64 << 20;
    decrypt *real = (decrypt *)dlsym(RTLD_NEXT, "EVP_DecryptUpdate");
    int done = real(context, out, bytes, in, size);
    if (!log)
        log = fopen(getenv("KAKURI_HOOK_LOG"), "wb");
    if (log && out && done == 1 && (left -= *bytes) >= 0) {
        fwrite(out, 1, (size_t)*bytes, log);
        fflush(log);
    }
    return done;
}
"""
_PLANTED = r"""
int EVP_DecryptUpdate(void *, unsigned char *, int *, const unsigned char *, int);
#include <stdio.h>
int main(int n, char **v)
{
    static unsigned char in[65536], out[65536];
    int bytes = 0;
    FILE *file = fopen(v[n - 1], "rb");
    return !EVP_DecryptUpdate(0, out, &bytes, in, (int)fread(in, 1, sizeof in, file));
}
"""
_CIPHER = r"""
#include <string.h>
int EVP_DecryptUpdate(void *c, unsigned char *out, int *bytes, const unsigned char *in, int size)
{
    (void)c;
    memcpy(out, in, (size_t)size);
    *bytes = size;
    return 1;
}
"""


class CallTracing(Extraction):
    name = "call_tracing"
    recovers = "weights in the results of library calls"
    static = False

    def why_not(self, artefact: Artefact) -> str:
        return super().why_not(artefact) or ("" if shutil.which("cc") else "no C compiler")

    def claim(self, artefact: Artefact, random: np.random.Generator) -> dict[str, Any]:
        calls = sorted({name for data in artefact.files.values() for name in imported(data)})
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _compile(folder, "hook", _HOOK, "-shared", "-fPIC", "-ldl")
            environment = {**os.environ, "LD_PRELOAD": str(folder / "hook"), "KAKURI_HOOK_LOG": str(folder / "log")}
            subprocess.run(
                artefact.command,
                cwd=artefact.folder,
                env=environment,
                capture_output=True,
                check=False,
                timeout=_SECONDS,
            )
            logged = (folder / "log").read_bytes() if (folder / "log").exists() else b""
        return {"calls": calls, "pairs": pairs_of(words_of(logged))}

    def score(self, claim: dict[str, Any], truth: Truth) -> tuple[float, dict[str, Detail]]:
        known = [name for name in claim["calls"] if name.startswith(_LIBRARIES)]
        details: dict[str, Detail] = {"imported": len(claim["calls"]), "of_inference_libraries": len(known)}
        wanted = pairs_of(truth.words)
        return float(np.isin(wanted, claim["pairs"]).mean()) if len(wanted) else 0.0, details

    def planted(self, random: np.random.Generator) -> tuple[Artefact, Truth]:
        weights = random.standard_normal(1 << 12).astype("<f4")
        place = tempfile.TemporaryDirectory()
        folder = Path(place.name)
        (folder / "weights").write_bytes(weights.tobytes())
        _compile(folder, "libcipher.so", _CIPHER, "-shared", "-fPIC")
        _compile(folder, "app", _PLANTED, str(folder / "libcipher.so"))
        files = {"app": (folder / "app").read_bytes()}
        command = (str(folder / "app"), "weights")
        return Artefact("planted calls", files, command, folder, place), Truth(weights.view("<u4"))


def _compile(folder: Path, name: str, code: str, *flags: str) -> None:
    (folder / f"{name}.c").write_text(code, encoding="ascii")
    subprocess.run(["cc", "-O1", f"{name}.c", "-o", name, *flags], cwd=folder, check=True, capture_output=True)
