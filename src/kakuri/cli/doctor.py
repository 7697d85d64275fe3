"""``kakuri doctor``: what this machine can do, and how well it keeps secrets.

Guarantees: reads only; every line is something found now, with the repair where something is amiss.
Does not guarantee: that a machine without findings is safe.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kakuri.cli import exit_codes
from kakuri.cli.output import JsonOption, output_of, printable, table
from kakuri.units import bytes_text
from kakuri.version import __version__

GOOD, NOTE, BAD = "ok", "note", "problem"
_STYLES = {GOOD: "green", NOTE: "yellow", BAD: "bold red"}
_FLAGS = ("avx2", "fma", "avx512f", "avx512ifma", "aes", "sha_ni")
_EXTRAS = {
    "torch": ("torch", "PyTorch models, training"),
    "onnxscript": ("torch", "export of PyTorch models"),
    "torch_pruning": ("torch", "channel pruning"),
    "tflite": ("tflite", "TFLite models"),
    "fastapi": ("serve", "a server over HTTP"),
    "ray": ("ray", "many machines"),
}
_DATA = {
    "KAKURI_DATA": ("mnist", "cifar10", "lfw", "fsdd"),
    "KAKURI_MODELS": ("onnx", "tflite"),
}


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do about it."""

    topic: str
    subject: str
    state: str
    found: str
    repair: str = ""


def command(
    context: typer.Context,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 6 when anything is a problem.")] = False,
    json: JsonOption = False,
) -> int:
    """Show what this machine can do and how well it keeps secrets."""
    findings = [*_product(), *_machine(), *_extras(), *_folders(), *_host()]
    rows = table("", "", "", "")
    rows.show_header = False
    topic = ""
    for item in findings:
        cells = (item.topic if item.topic != topic else "", item.subject, item.found)
        first, subject, found = (escape(printable(cell)) for cell in cells)
        repair = f"  [dim]{escape(item.repair)}[/dim]" if item.repair else ""
        rows.add_row(f"[bold]{first}[/bold]", subject, f"[{_STYLES[item.state]}]{item.state}[/]", found + repair)
        topic = item.topic
    bad = [item for item in findings if item.state == BAD]
    output_of(context).result({"ok": not bad, "findings": [asdict(item) for item in findings]}, rows)
    return exit_codes.ENVIRONMENT if strict and bad else exit_codes.OK


def _product() -> Iterator[Finding]:
    topic = "kakuri"
    yield Finding(topic, "version", GOOD, f"{__version__}, Python {platform.python_version()}")
    try:
        from kakuri import _ckks  # noqa: PLC0415  its absence is a finding
    except ImportError as error:
        yield Finding(
            topic, "kernel", BAD, f"cannot be loaded: {error}", "install kakuri with pip; it is compiled then"
        )
        return
    paths = ", ".join(_ckks.available_kernel_paths())
    path = _ckks.kernel_path()
    yield Finding(topic, "kernel", GOOD if path != "scalar" else NOTE, f"{path} (this processor offers {paths})")


def _machine() -> Iterator[Finding]:
    topic = "machine"
    information = _read("/proc/cpuinfo")
    model = next((line.split(":", 1)[1].strip() for line in information.splitlines() if line[:10] == "model name"), "")
    flags = next((line.split(":", 1)[1].split() for line in information.splitlines() if line[:5] == "flags"), [])
    yield Finding(topic, "processor", GOOD, f"{model or platform.machine()}, {len(os.sched_getaffinity(0))} cores")
    yield Finding(
        topic, "instructions", GOOD, ", ".join(flag for flag in _FLAGS if flag in flags) or "none of interest"
    )
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    state = GOOD if total >= 2 << 30 else NOTE
    yield Finding(topic, "memory", state, bytes_text(total))


def _extras() -> Iterator[Finding]:
    for module, (extra, purpose) in _EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            yield Finding("extras", module, GOOD, purpose)
        else:
            yield Finding("extras", module, NOTE, f"missing: {purpose}", f"pip install 'kakuri[{extra}]'")


def _folders() -> Iterator[Finding]:
    for variable, expected in _DATA.items():
        value = os.environ.get(variable)
        if not value:
            repair = f"export {variable}=FOLDER with {', '.join(expected)}"
            yield Finding("data", variable, NOTE, "not set: tests and tables that need it are skipped", repair)
            continue
        there = [name for name in expected if (Path(value) / name).is_dir()]
        state = GOOD if there else BAD
        yield Finding("data", variable, state, f"{value}: {', '.join(there) or 'holds none of ' + ', '.join(expected)}")


def _host() -> Iterator[Finding]:
    """Where key bytes could leave a process of this user on this machine."""
    topic = "secrets on this host"
    soft, _ = resource.getrlimit(resource.RLIMIT_CORE)
    pattern = _read("/proc/sys/kernel/core_pattern").strip()
    kept = soft != 0 or pattern.startswith("|")
    yield Finding(
        topic,
        "core dumps",
        NOTE if kept else GOOD,
        f"limit {'none' if soft == resource.RLIM_INFINITY else soft}, pattern {pattern or 'unknown'}",
        "ulimit -c 0: a crash would write keys to disk" if kept else "",
    )
    swaps = _read("/proc/swaps").splitlines()[1:]
    yield Finding(
        topic,
        "swap",
        NOTE if swaps else GOOD,
        f"{len(swaps)} areas" if swaps else "none",
        "encrypt it: keys in memory may be written there" if swaps else "",
    )
    yield _switch(topic, "tracing by the same user", "kernel.yama.ptrace_scope", "1")
    yield _switch(topic, "address randomisation", "kernel.randomize_va_space", "2")
    mask = _umask()
    open_mask = mask is not None and mask & 0o077 != 0o077
    yield Finding(
        topic,
        "umask",
        GOOD,
        "unknown" if mask is None else f"{mask:04o}" + ("; key files are 0600 all the same" if open_mask else ""),
    )
    if os.geteuid() == 0:
        yield Finding(topic, "user", NOTE, "root", "run the client as a user of its own")
    else:
        yield Finding(topic, "user", GOOD, f"uid {os.geteuid()}")
    debugger = sys.gettrace() is not None
    yield Finding(topic, "debugger", NOTE if debugger else GOOD, "attached" if debugger else "none attached")


def _switch(topic: str, subject: str, name: str, least: str) -> Finding:
    """A kernel switch that should be at ``least``, a single digit."""
    value = _read(f"/proc/sys/{name.replace('.', '/')}").strip()
    if not value:
        return Finding(topic, subject, NOTE, "not restricted: this kernel has no such switch")
    good = value >= least
    return Finding(
        topic, subject, GOOD if good else NOTE, f"{name} = {value}", "" if good else f"sysctl {name}={least}"
    )


def _umask() -> int | None:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
