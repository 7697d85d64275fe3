"""S0, figures 1 and 2: load time and inference time of five partitions of three LeNets.

    python reproduce/S0/figures.py [--json] [--runs 15] [--sides 14 28 56] [--pictures FOLDER]

The networks are those of `train_lenet.py`. Loading and inference are delimited as section 3.2 has it: from structure
and parameters to decrypted parameters in memory, and from the image entering the partitioned network to its result. The
TEE is the `process` backend (a sandbox, not a TEE), standing before loading begins. The document prints no number with
its figures, so what is compared is what it says of them: both times are largest with every layer inside and smallest
with none, and loading outweighs inference.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bars import grouped_bars

import kakuri as kk
from kakuri.bench.enclave_lenet import PARTITIONS, SIZES, measure

WEIGHTS = Path(__file__).with_name("weights")
FIGURES = {"load_seconds": "Figure 1: load time", "inference_seconds": "Figure 2: inference time"}


def rows(runs: int, sides: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    found = []
    for side in sides:
        net = kk.load(WEIGHTS / f"lenet-{side}.cfg")
        for name, layers in PARTITIONS.items():
            case = f"{side}x{side}/{name}"
            measured = measure(net, case, layers, runs)
            ours = next((row for row in measured if row.system == "kakuri"), measured[0])
            found.append({"size": f"{side}x{side}", "partition": name, **ours.figures})
    return found


def claims(measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the document says of its figures, size by size."""
    found = []
    for size in dict.fromkeys(row["size"] for row in measured):
        times = {row["partition"]: row for row in measured if row["size"] == size}
        for key in FIGURES:
            ordered = sorted(times, key=lambda name, times=times, key=key: float(times[name][key]))
            found.append({"size": size, "figure": key, "smallest": ordered[0], "largest": ordered[-1]})
        whole = times["0-10"]
        found.append({"size": size, "figure": "load / inference", "all inside": _ratio(whole)})
    return found


def _ratio(row: dict[str, Any]) -> float:
    return round(float(row["load_seconds"]) / float(row["inference_seconds"]), 1)


def draw(measured: list[dict[str, Any]], folder: Path) -> None:
    for number, (key, title) in enumerate(FIGURES.items(), start=1):
        groups: dict[str, dict[str, float]] = {}
        for row in measured:
            groups.setdefault(row["size"], {})[f"inside {row['partition']}"] = 1e3 * float(row[key])
        (folder / f"figure_{number}.svg").write_text(grouped_bars(title, "ms", groups), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--sides", type=int, nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    measured = rows(options.runs, options.sides)
    if options.pictures is not None:
        draw(measured, options.pictures)
    if options.json:
        print(json.dumps({"rows": measured, "claims": claims(measured)}, indent=2))
        return
    print(f"{'size':8}{'inside':10}{'load ms':>10}{'inference us':>14}{'max error':>12}")
    for row in measured:
        times = f"{1e3 * row['load_seconds']:>10.2f}{1e6 * row['inference_seconds']:>14.1f}"
        print(f"{row['size']:8}{row['partition']:10}{times}{row['max_error']:>12.1e}")
    for claim in claims(measured):
        print(", ".join(f"{key}: {value}" for key, value in claim.items()))


if __name__ == "__main__":
    main()
