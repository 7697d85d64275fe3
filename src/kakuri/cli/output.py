"""Where everything that is printed goes.

Purpose: one object that knows stdout from stderr and text from JSON.
Guarantees: with ``--json`` stdout gets one JSON object and nothing else; progress, notes and warnings go to stderr;
control characters of untrusted text never reach the terminal.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from kakuri.cli.exit_codes import exit_code
from kakuri.errors import KakuriError, KakuriWarning, Problem

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
_WIDTH = 120  # of text for people that goes to a file or a pipe
Step = Callable[[str, float], None]


@dataclass
class Output:
    """Made once per command line. ``warned``: texts of ``KakuriWarning``, which also stand in JSON results."""

    as_json: bool = False
    warned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH
        self.out = Console(file=sys.stdout, highlight=False, width=width)
        self.err = Console(file=sys.stderr, highlight=False, stderr=True)

    def result(self, data: Mapping[str, Any], *parts: RenderableType) -> None:
        """The command's result: ``data`` as JSON, or ``parts`` for people."""
        if self.as_json:
            whole = {**data, "warnings": self.warned} if self.warned else dict(data)
            sys.stdout.write(json.dumps(finite(whole), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        else:
            for part in parts:
                self.out.print(escape(printable(part)) if isinstance(part, str) else part)

    def note(self, text: str) -> None:
        """Something a person may want to know meanwhile."""
        self.err.print(escape(printable(text)), style="dim", soft_wrap=True)

    def warn(self, text: str) -> None:
        self.warned.append(text)
        self.err.print(f"[yellow]warning:[/yellow] {escape(printable(text))}", soft_wrap=True)

    def error(self, error: KakuriError) -> int:
        """Shows every problem; returns the exit code."""
        code = exit_code(error.code)
        if self.as_json:
            problems = [problem.to_dict() for problem in error.problems]
            document = {"error": {"code": error.code, "exit_code": code, "problems": problems}}
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        else:
            for problem in error.problems:
                self._problem(problem)
        return code

    def _problem(self, problem: Problem) -> None:
        where = f"{problem.where}: " if problem.where else ""
        self.err.print(f"[bold red]{problem.code}[/bold red] {escape(printable(where + problem.what))}", soft_wrap=True)
        for name in ("got", "limit", "hint"):
            if value := getattr(problem, name):
                self.err.print(f"  [dim]{name:>5}[/dim]  {escape(printable(value))}", soft_wrap=True)

    @contextmanager
    def progress(self, title: str) -> Iterator[Step]:
        """``step(text, share)`` moves a bar on stderr; silent when stderr is not a terminal."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        with Progress(*columns, TimeElapsedColumn(), console=self.err, transient=True) as bar:
            task = bar.add_task(title, total=1.0)

            def step(text: str, share: float) -> None:
                bar.update(task, description=escape(printable(text)), completed=min(max(share, 0.0), 1.0))

            yield step

    @contextmanager
    def kakuri_warnings(self) -> Iterator[None]:
        """Shows each ``KakuriWarning`` once on stderr; other warnings are for developers and stay away."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", KakuriWarning)

            warnings.showwarning = self._show_warning
            yield

    def _show_warning(  # noqa: PLR0917  the signature of warnings.showwarning
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if str(message) not in self.warned:
            self.warn(str(message))


def output_of(context: typer.Context) -> Output:
    """The output of this command line."""
    found = context.find_object(Output)
    return found if found is not None else Output()


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table in the house style."""
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def facts(rows: Mapping[str, object]) -> Table:
    """Two columns: name and value."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows.items():
        made.add_row(escape(name), escape(printable(str(value))))
    return made


def printable(text: str) -> str:
    """``text`` without control characters (line ends and tabs stay), so that no file can drive a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def finite(value: Any) -> Any:
    """``value`` with infinities and NaN as None, which JSON can say."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
