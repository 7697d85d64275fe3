"""Starting a confined Python process.

Purpose: ``start`` runs one function of one module in a process that is confined before any third-party code loads.
Guarantees: the child begins with the standard library alone (``-I -S``), confines itself, and only then reads
site-packages and imports the module: what a package does at import happens inside. It has no descriptor but those in
``pass_fds`` and the null device, and no environment but fixed words. Its first message, sent before any foreign code
runs, says what is in force.
Does not guarantee: that what comes back through ``pass_fds`` is true; the parent must parse it as hostile.
Errors: KK-S02 and KK-S03 as ``confine``, KK-S04 the child did not start, KK-S05 the kernel stopped it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kakuri.errors import KakuriError
from kakuri.trust.sandbox.confine import Confinement, confine
from kakuri.trust.sandbox.policy import Policy

_MAX_REPORT_BYTES = 4096
_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from kakuri.trust.sandbox.launch import child_main; child_main(sys.argv[2:])"
)


@dataclass
class Child:
    """A running confined process."""

    process: subprocess.Popen[bytes]
    confinement: Confinement

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Exit code. Raises KK-S05 when the kernel stopped the process for what it tried to do or to use."""
        code = self.process.wait(timeout_seconds)
        reason = {
            -signal.SIGSYS: "it made a system call that is forbidden to it (network, other processes, or new programs)",
            -signal.SIGXCPU: "it used up its processor time",
        }.get(code)
        if reason is not None:
            raise KakuriError(
                "KK-S05",
                "the confined process was stopped by the kernel",
                got=reason,
                hint="nothing left it; look for a planted or unsuitable library in the environment",
            )
        return code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def start(
    function: str,
    policy: Policy,
    arguments: Sequence[str] = (),
    *,
    pass_fds: Sequence[int] = (),
    search: Sequence[str] = (),
    quiet: bool = True,
) -> Child:
    """Runs ``module:function`` with ``arguments`` (list of text) confined by ``policy``, and returns once it is.

    pass_fds: descriptors that the child keeps under their numbers. search: folders for ``sys.path`` besides
    site-packages; they become readable. quiet: its stderr goes nowhere; otherwise to ours,
    which is an exit and meant for debugging. The function's return value is the exit code (None is 0).
    """
    root = Path(__file__).resolve().parents[3]
    obeyed = replace(policy, read=(*policy.read, *search))
    reader, writer = os.pipe()
    words = [str(root), obeyed.to_json(), json.dumps(list(search)), str(writer), function, *arguments]
    command = [sys.executable, "-I", "-S", "-c", _BOOT, *words]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if quiet else None,
            pass_fds=(*pass_fds, writer),
            env=_environment(policy),
            cwd="/",
        )
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as report:
        text = report.read(_MAX_REPORT_BYTES)
    return Child(process, _first_message(text, process))


def _environment(policy: Policy) -> dict[str, str]:
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    folder = policy.write or "/nonexistent"
    return {**single, "LC_ALL": "C.UTF-8", "HOME": folder, "TMPDIR": folder, "PATH": "", "USER": "confined"}


def _first_message(text: bytes, process: subprocess.Popen[bytes]) -> Confinement:
    try:
        message = json.loads(text)
        if "error" in message:
            process.wait()
            raise KakuriError(**message["error"])
        return Confinement(**message["confinement"])
    except (ValueError, TypeError, KeyError):
        process.kill()
        code = process.wait()
        raise KakuriError("KK-S04", "the confined process did not start", got=f"exit code {code}") from None


def child_main(words: Sequence[str]) -> None:
    """What the child runs first: confine, report, let site-packages in, call the function."""
    policy_text, search, descriptor, function, *arguments = words
    writer = int(descriptor)
    try:
        done = confine(Policy.from_json(policy_text))
    except KakuriError as error:
        fields = error.problem.to_dict()
        os.write(writer, json.dumps({"error": fields}).encode()[:_MAX_REPORT_BYTES])
        os._exit(1)
    os.write(writer, json.dumps({"confinement": done.to_dict()}).encode())
    os.close(writer)
    site = importlib.import_module("site")
    site.main()
    sys.path[:0] = json.loads(search)
    module, _, name = function.partition(":")
    result = getattr(importlib.import_module(module), name)(arguments)
    sys.exit(result)
