"""Naming a torch module on the command line: ``net.py:Net``, ``package.nets:make_net``.

Purpose: the training's owner points at the code that makes the module.
Guarantees: the name is looked up in that file or package and called without arguments; every refusal says which part
of the argument is wrong.
Does not guarantee: anything about that code. It is imported and run, as ``python net.py`` would: name only your own.
Errors: KK-C06 not of this form, or no such name; KK-F12 no such file; KK-O05 not a module.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from kakuri.errors import KakuriError

if TYPE_CHECKING:
    from torch import nn

ModuleArgument = Annotated[
    str,
    typer.Argument(
        metavar="CODE:NAME",
        help="Your own Python, which is run: net.py:Net or package.nets:make_net; called without arguments.",
        show_default=False,
    ),
]
_HINT = "net.py:Net, or package.nets:make_net, where Net() gives the torch module"


def load_module(source: str) -> nn.Module:
    """The torch module that ``source`` names."""
    from kakuri.offload._torch import missing_torch  # noqa: PLC0415  (needed only here)

    try:
        from torch import nn  # noqa: PLC0415  (optional)
    except ModuleNotFoundError as error:
        raise missing_torch() from error
    home, _, name = source.rpartition(":")
    if not home or not name.isidentifier():
        raise KakuriError("KK-C06", "this does not name a torch module", got=source, hint=_HINT)
    code = _from_file(Path(home)) if home.endswith(".py") else _from_package(home)
    if not hasattr(code, name):
        offered = [key for key, value in vars(code).items() if isinstance(value, type) and issubclass(value, nn.Module)]
        raise KakuriError("KK-C06", "no such name in this code", where=home, got=name, limit=", ".join(offered))
    made = getattr(code, name)
    if not isinstance(made, nn.Module):
        made = _called(made, source)
    if not isinstance(made, nn.Module):
        raise KakuriError("KK-O05", "this is not a torch module", where=source, got=type(made).__name__, hint=_HINT)
    return made


def _called(make: object, source: str) -> object:
    if not callable(make):
        return make
    try:
        return make()
    except TypeError as error:
        hint = "write a function without arguments that makes it, and name that"
        raise KakuriError(
            "KK-C06", "this cannot be called without arguments", where=source, got=error, hint=hint
        ) from None


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise KakuriError("KK-F12", "no such file", where=path, hint=_HINT)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, code)  # dataclasses look their module up
    spec.loader.exec_module(code)
    return code


def _from_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the code is there, and something it needs is not
        raise KakuriError("KK-F12", "no such Python package", where=name, hint=_HINT) from None
