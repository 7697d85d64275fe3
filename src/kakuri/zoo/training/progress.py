"""A progress bar for training.

Purpose: an observer for `train` that draws a `rich` bar on standard error.
Guarantees: standard output stays free for results. Does not guarantee: drawing where standard error is not a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kakuri.zoo.training.loop import EpochReport


@contextmanager
def progress_bar(title: str, console: Console | None = None) -> Iterator[Callable[[EpochReport], None]]:
    """``with progress_bar("square") as observe: train(..., observe=observe)``."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None, figures="")

        def observe(report: EpochReport) -> None:
            figures = f"loss {report.loss:.4f}  train {report.train_percent:.2f} %"
            if report.validation_percent is not None:
                figures += f"  validation {report.validation_percent:.2f} %"
            progress.update(task, completed=report.epoch, total=report.epochs, figures=figures)

        yield observe
