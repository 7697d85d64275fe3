"""Passphrases of key files: from the environment variable ``KAKURI_PASSPHRASE``, or asked for on a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from kakuri.errors import KakuriError
from kakuri.trust.secret_file import read_header

PASSPHRASE_VARIABLE = "KAKURI_PASSPHRASE"


def passphrase_for(path: Path) -> str | None:
    """None for an unprotected key file; else from the environment, or asked for on a terminal. Raises KK-K2x."""
    if not read_header(path).protected:
        return None
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise KakuriError(
            "KK-K24",
            "the key file is protected by a passphrase",
            where=path,
            hint=f"run it on a terminal, or set {PASSPHRASE_VARIABLE}",
        )
    return str(typer.prompt(f"Passphrase of {path}", hide_input=True, err=True))


def new_passphrase(wanted: bool) -> str | None:
    """None unless wanted; then from the environment, or asked for twice."""
    if not wanted:
        return None
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise KakuriError(
            "KK-K24", "a passphrase is needed", hint=f"run it on a terminal, or set {PASSPHRASE_VARIABLE}"
        )
    return str(typer.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True))
