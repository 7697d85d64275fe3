"""The document's printed figures and the drawing shared by the table scripts.

Purpose: read ``printed/*.csv``; print rows as a table or, with ``--json``, as one JSON object on standard output.
Guarantees: a row holds the document's value, ours and the difference; nothing is stored, ours is computed in this run.
Source: S4, tables 5.3 and 5.5 to 5.10.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

#: Columns of text, so that a table written to a file is not cut.
MINIMUM_WIDTH = 110
PRINTED = Path(__file__).parent / "printed"

#: Names the document prints, and the zoo's.
ZOO_NAMES = {"ReLU": "relu", "Swish": "swish"}

#: The document's networks: (beginning, end) of the shipped network's name, between which the activation stands.
_SHIPPED = {
    "3layer-CNN": ("mnist-3layer", ""),
    "3layer-CNN-Pruned-R1": ("mnist-3layer", "-r1"),
    "3layer-CNN-Pruned-R2": ("mnist-3layer", "-r2"),
    "4layer-CNN": ("cifar10-4layer", ""),
    "4layer-CNN-Pruned10%": ("cifar10-4layer", "-r1"),
    "4layer-CNN-Pruned20%": ("cifar10-4layer", "-r2"),
    "4layer-CNN-Pruned30%": ("cifar10-4layer", "-r3"),
}


def shipped_name(network: str, activation: str) -> str:
    """The zoo's name for a network and activation as the document prints them; not every one ships."""
    beginning, end = _SHIPPED[network]
    return f"{beginning}-{ZOO_NAMES.get(activation, activation)}{end}"


def printed(name: str) -> list[dict[str, str]]:
    """Rows of ``printed/<name>.csv``."""
    with (PRINTED / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def printed_accuracies(networks: Sequence[str]) -> list[dict[str, str]]:
    """Rows of tables 5.5 to 5.8 for the named networks, in the document's order."""
    return [row for row in printed("plaintext_accuracy") if row["network"] in networks]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every table script has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


def show(title: str, rows: Sequence[dict[str, Any]], *, as_json: bool, note: str = "") -> None:
    """Print rows, all with the same keys."""
    if as_json:
        print(json.dumps({"table": title, "rows": list(rows), "note": note}, ensure_ascii=False))
        return
    table = Table(title=title, caption=note or None)
    for key, value in rows[0].items():
        table.add_column(key, justify="left" if isinstance(value, str) else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console = Console()
    console.width = max(console.width, MINIMUM_WIDTH)
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
