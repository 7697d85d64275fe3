"""Command lines and what they print, as in the manual.

A session is a text file. ``$ command`` runs a command; the lines below it are its standard output, lines with ``! ``
before them its standard error, and ``= 5`` its exit code (0 when left out). ``<anything>`` stands for text that varies
within a line, a line of ``...`` for any lines. Runs of blanks count as one.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kakuri.cli.main import main

SESSIONS = sorted((Path(__file__).parent / "sessions").glob("*.txt"))


@dataclass
class Step:
    command: str
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    code: int = 0


def parse(text: str) -> list[Step]:
    steps: list[Step] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:]))
        elif line.startswith("! "):
            steps[-1].err.append(line[2:])
        elif line.startswith("= "):
            steps[-1].code = int(line[2:])
        elif line.strip() and not line.startswith("# "):
            steps[-1].out.append(line)
    return steps


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def pattern(expected: list[str]) -> str:
    """A regular expression for whole outputs."""
    parts = []
    for line in lines("\n".join(expected)):
        pieces = re.split(r"<[a-z ]+>", line)
        parts.append(r"(?:.*\n)*?" if line == "..." else ".+?".join(map(re.escape, pieces)) + "\n")
    return "".join(parts)


def matches(expected: list[str], got: str) -> bool:
    return re.fullmatch(pattern(expected), "".join(line + "\n" for line in lines(got))) is not None


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_session(session: Path, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in parse(session.read_text(encoding="utf-8")):
        words = shlex.split(step.command)
        if words[0] != "kakuri":
            subprocess.run(step.command, shell=True, check=True, cwd=workplace)
            continue
        code = main(words[1:])
        got = capsys.readouterr()
        assert matches(step.out, got.out), f"$ {step.command}\nstdout:\n{got.out}\nstderr:\n{got.err}"
        assert matches(step.err, got.err), f"$ {step.command}\nstderr:\n{got.err}"
        assert code == step.code, f"$ {step.command}\n{got.err}"


def test_the_matcher_can_fail() -> None:
    assert matches(["a <size> b", "...", "end"], "a 12 MiB   b\nx\ny\nend\n")
    assert matches(["a (1) [2]"], "a (1) [2]\n")
    for expected, got in ((["a"], "b\n"), (["a"], "a\nb\n"), (["a", "b"], "a\n"), (["a <size>"], "a\n"), ([], "a\n")):
        assert not matches(expected, got)
