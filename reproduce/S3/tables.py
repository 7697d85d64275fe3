"""S3, the two headline tables: latency and memory of generated code against TensorFlow Lite.

    python reproduce/S3/tables.py --models FOLDER [--runs 20] [--pictures FOLDER] [--json]
    python reproduce/S3/tables.py --bench bench.json      # what `kakuri bench codegen --json` gave before

The document compares its generated code with a TFLite that has no delegates (XNNPACK off); that is its setting. Today's
setting is LiteRT as it comes. Its own ten networks are not public; FOLDER holds stand-ins of the same architectures.
Latency is processor time on one thread, so that other work on the machine does not count; memory is what a process
grows by until it has answered, without the imports. ARM64 needs an ARM64 machine, and is left out where there is none.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "S0"))
from bars import grouped_bars  # the pictures of S0

PRINTED = {
    "x86-64": {"cpu_seconds": -0.218, "peak_bytes": -0.688},
    "arm64": {"cpu_seconds": -0.243, "peak_bytes": -0.36},
}
SETTINGS = {"litert-no-delegates": "its setting", "litert": "today's"}
TABLES = {"cpu_seconds": ("Latency", "ms", 1e3), "peak_bytes": ("Memory", "MB", 1e-6)}
Cases = Mapping[str, Mapping[str, Mapping[str, Any]]]


def cases(rows: list[dict[str, Any]]) -> Cases:
    """Case -> system -> figures, of the cases that every system has run."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row["case"], {})[row["system"]] = row
    return {name: systems for name, systems in found.items() if {"kakuri", *SETTINGS} <= set(systems)}


def change(found: Cases, figure: str, peer: str) -> float:
    """Geometric mean of ours over the peer's, less 1."""
    ratios = [systems["kakuri"][figure] / systems[peer][figure] for systems in found.values()]
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios)) - 1


def headline(found: Cases, processor: str) -> list[dict[str, Any]]:
    rows = []
    for figure, (name, _, _) in TABLES.items():
        for machine, printed in PRINTED.items():
            ours = {
                words: change(found, figure, peer) if machine == processor else None for peer, words in SETTINGS.items()
            }
            rows.append({"table": name, "machine": machine, "printed": printed[figure], **ours})
    return rows


def show(found: Cases, rows: list[dict[str, Any]]) -> None:
    print("| | document | ours, its setting | ours, today's |\n|---|---|---|---|")
    for row in rows:
        ours = ["not measured" if row[words] is None else f"{100 * row[words]:+.1f} %" for words in SETTINGS.values()]
        print(f"| {row['table']}, {row['machine']} | {100 * row['printed']:+.1f} % | {' | '.join(ours)} |")
    for figure, (name, unit, scale) in TABLES.items():
        print(f"\n| {name}, {unit} | ours | LiteRT without delegates | LiteRT |\n|---|---|---|---|")
        for case, systems in found.items():
            values = [f"{scale * systems[system][figure]:.2f}" for system in ("kakuri", *SETTINGS)]
            print(f"| {case} | {' | '.join(values)} |")


def draw(found: Cases, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for figure, (name, _, _) in TABLES.items():
        groups = {
            case.removesuffix("_f32"): {
                "ours": systems["kakuri"][figure] / systems["litert-no-delegates"][figure],
                "LiteRT": systems["litert"][figure] / systems["litert-no-delegates"][figure],
                "no delegates": 1.0,
            }
            for case, systems in found.items()
        }
        picture = grouped_bars(f"{name}, over LiteRT without delegates", "ratio", groups)
        (folder / f"{name.lower()}.svg").write_text(picture, encoding="utf-8")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--models", default="")
    options.add_argument("--bench", type=Path)
    options.add_argument("--runs", type=int, default=20)
    options.add_argument("--pictures", type=Path)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    if given.bench:
        measured = json.loads(given.bench.read_text(encoding="utf-8"))["rows"]
    else:
        from kakuri.bench import Options, run  # noqa: PLC0415  only where something is measured

        measured = run("codegen", Options(runs=given.runs, settings={"models": given.models}))["rows"]
    found = cases(measured)
    processor = "arm64" if platform.machine() == "aarch64" else "x86-64"
    rows = headline(found, processor)
    if given.pictures:
        draw(found, given.pictures)
    print(json.dumps({"headline": rows, "cases": found}, indent=2)) if given.json else show(found, rows)


if __name__ == "__main__":
    main()
