"""Generated C for ARM64 without an ARM64 machine: the same outputs under qemu-user, and instructions per inference.

Settings: ``models``, as in ``codegen``. Cases are the files' names and the target. ``instructions``: what one more
inference adds to a run, as a plugin of QEMU counts them: right to some hundreds, which the C library's printing takes,
and no statement about time. ``largest_relative_difference``: to the source model, as in ``codegen``.
Needs: ``aarch64-linux-gnu-gcc``, ``qemu-aarch64`` with plugins (Debian: gcc-aarch64-linux-gnu, qemu-user) and a C
compiler.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from kakuri import codegen, model
from kakuri.bench.codegen import model_files
from kakuri.bench.rows import Options, Row
from kakuri.codegen.examples import random_inputs
from kakuri.errors import KakuriError

TARGETS = ("arm64", "arm64-dotprod")
_TOOLS = ("aarch64-linux-gnu-gcc", "qemu-aarch64", "cc")
_COUNT = re.compile(r"^instructions (\d+)$", re.MULTILINE)
_SECONDS = 3600


def run(options: Options) -> list[Row]:
    """One row per network and target. Raises KK-C23 without models, KK-C21 without the tools."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        hint = "apt-get install gcc-aarch64-linux-gnu qemu-user"
        raise KakuriError("KK-C21", "tools are missing", got=", ".join(missing), hint=hint)
    rows = []
    for path in model_files(options.settings.get("models", "")):
        if options.case not in path.stem:
            continue
        options.report(f"{path.stem}: generating, compiling, emulating")
        try:
            rows += [_case(path, target) for target in TARGETS]
        except KakuriError as error:
            options.report(f"{path.stem}: left out: {error.problem}")
    return rows


def _case(path: Path, target: str) -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = codegen.plan(model.load(path), target=target).build(folder / "project")
        inputs = random_inputs(source.plan.program, np.random.default_rng(0))
        difference = source.check(inputs).worst.relative
        (folder / "in").write_bytes(b"".join(array.tobytes() for array in inputs))
        program, plugin = source.compile(folder), folder / "count.so"
        counter = Path(__file__).with_name("peers") / "count_instructions.c"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(counter), "-o", str(plugin)], check=True)
        once, twice = (_instructions(program, plugin, folder, runs) for runs in (1, 2))
        figures = {
            "instructions": twice - once,
            "largest_relative_difference": difference,
            "program_bytes": program.stat().st_size,
            "arena_bytes": source.plan.program.arena_bytes,
        }
        return Row("kakuri", f"{path.stem}/{target}", figures)


def _instructions(program: Path, plugin: Path, folder: Path, runs: int) -> int:
    """Guest instructions of a whole run. Raises KK-C22."""
    command = ["qemu-aarch64", "-plugin", str(plugin), str(program), "in", "out", str(runs)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
    found = _COUNT.search(done.stderr)
    if done.returncode or found is None:
        raise KakuriError("KK-C22", "a measured process stopped", where="qemu-aarch64", got=done.stderr.strip()[:200])
    return int(found[1])
