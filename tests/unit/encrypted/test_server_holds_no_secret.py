"""A server process never loads a module that has a secret-key type."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import kakuri

SECRET_MODULES = ("kakuri._ckks_secret", "kakuri.trust.secret_file", "kakuri.encrypted.client")


def test_importing_the_server_loads_no_secret_module():
    script = (
        "import sys; from kakuri.encrypted import Server, Query, Answer; "
        f"print([m for m in {SECRET_MODULES!r} if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_the_probe_can_fail():
    script = (
        f"import sys; from kakuri.encrypted import Client; print([m for m in {SECRET_MODULES!r} if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == repr(list(SECRET_MODULES))


def test_server_source_names_no_secret_module():
    """Not even inside a function."""
    source = Path(kakuri.__file__).with_name("encrypted") / "server.py"
    imported = {
        name
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported.isdisjoint(SECRET_MODULES)
    assert "_ckks_secret" not in source.read_text(encoding="utf-8")


def test_public_kernel_module_has_no_secret_type():
    from kakuri import _ckks

    assert [name for name in dir(_ckks) if "secret" in name.lower()] == []
