"""S2, figures 2 to 5: accuracy on faces as a device resumes training with a share of the server's data.

    python reproduce/S2/figures.py --runs runs/lfw --pictures FOLDER [--seeds 10] [--people 10 20 30]
        [--shares 0 0.1 0.3 1] [--json]

Figure 2: everything handed down, against training from scratch. Figures 3 to 5: 10, 20 and 30 general people, a tenth
to all of their photos, or none, handed down; --shares makes a part of the curves (1 is always made). Accuracy is on
test data of which a tenth is personal (S2, 3.3). Time is the processor time of training on one core of this machine,
from the checkpoint on; the document's axis is a Jetson Nano's clock. Each curve is the mean over the seeds, the band
one standard deviation. Resumable: finished runs lie in --runs and are not made again. The document prints no numbers
with these figures; what it says of them is compared.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.progress import Progress

from kakuri.bench.personal_protocol import faces, photos_by_person, server_model
from kakuri.bench.personal_runs import curve, kept

mpl.use("Agg")
from matplotlib import pyplot as plt

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FIGURE_OF = {10: 3, 20: 4, 30: 5}

Curves = dict[float | None, list[dict[str, Any]]]


def made(people: int, seeds: int, shares: tuple[float, ...], runs: Path, console: Console) -> Curves:
    """Every curve of every seed, and from scratch (None); runs that are there are read."""
    photos = photos_by_person()
    found: Curves = {share: [] for share in (*shares, None)}
    with Progress(console=console) as progress:
        task = progress.add_task(f"{people} people", total=seeds * len(found))
        for seed in range(seeds):
            data = faces(photos, people, seed)
            model = server_model(data, seed, runs / f"server-{people}-{seed}.onnx")
            for share in found:
                name = "scratch" if share is None else f"{share:.1f}"
                run = partial(_curve, share, data, model, seed)
                found[share].append(kept(runs / f"curve-{people}-{seed}-{name}.json", run))
                progress.advance(task)
    return found


def _curve(share: float | None, data: Any, model: Any, seed: int) -> dict[str, Any]:
    return curve(share, data, model, seed).to_dict()


def values(curves: list[dict[str, Any]], key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(seeds, epochs) of one measure."""
    return np.array([[point["measures"][key] for point in one["points"]] for one in curves])


def seconds(curves: list[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(epochs,) mean processor seconds after each epoch."""
    spent = np.array([[point["cpu_seconds"] for point in one["points"]] for one in curves])
    return np.asarray(spent.mean(axis=0))


def claims(people: int, curves: Curves) -> dict[str, Any]:
    """What the document says of figures 3 to 5, as figures of the last epoch, means over the seeds."""
    shares = [share for share in curves if share is not None]
    last = {share: values(curves[share], "accuracy")[:, -1].mean() for share in shares}
    ceiling = last[1.0]
    scratch, resumed = values(curves[None], "accuracy").mean(axis=0), values(curves[1.0], "accuracy").mean(axis=0)
    return {
        "people": people,
        "seeds": len(curves[1.0]),
        "general_accuracy": {
            f"{share:.0%}": float(values(curves[share], "general_accuracy")[:, -1].mean()) for share in shares
        },
        "share_of_ceiling": {f"{share:.0%}": float(last[share] / ceiling) for share in shares},
        "accuracy_at_100": float(ceiling),
        "false_personal_at_100": float(values(curves[1.0], "false_personal")[:, -1].mean()),
        "first_epoch_resumed": float(resumed[0]),
        "first_epoch_scratch": float(scratch[0]),
        "last_epoch_scratch": float(scratch[-1]),
    }


def draw_shares(people: int, curves: Curves, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    shares = [share for share in curves if share is not None]
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(shares)))
    for share, colour in zip(shares, colours, strict=True):
        found = values(curves[share], "accuracy")
        _band(axes, seconds(curves[share]), found, colour, f"{share:.0%}")
    axes.set(
        xscale="log",
        xlabel="processor seconds of training",
        ylabel="accuracy",
        ylim=(0, 1),
        title=f"{people} general people, one personal: share of general data handed down",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_scratch(people: int, curves: Curves, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for share, label, colour in ((1.0, "resumed", "tab:blue"), (None, "from scratch", "tab:orange")):
        found = curves[share]
        _band(axes, seconds(found), values(found, "accuracy"), colour, f"{label}, all")
        personal_recall = values(found, "personal_recall").mean(axis=0)
        axes.plot(seconds(found), personal_recall, "--", color=colour, label=f"{label}, personal")
    axes.set(
        xlabel="processor seconds of training",
        ylabel="accuracy",
        ylim=(0, 1),
        title=f"Everything handed down, {people} general people",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _band(axes: Any, x: Any, found: Any, colour: Any, label: str) -> None:
    mean, deviation = found.mean(axis=0), found.std(axis=0)
    axes.plot(x, mean, "o-", markersize=3, color=colour, label=label)
    axes.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.12, linewidth=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of finished runs")
    parser.add_argument("--pictures", type=Path, help="folder for figures 2 to 5, .png")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--people", type=int, nargs="+", choices=FIGURE_OF, default=list(FIGURE_OF))
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES), help="of 0 to 1")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for folder in filter(None, (options.runs, options.pictures)):
        folder.mkdir(parents=True, exist_ok=True)
    shares = tuple(sorted({*options.shares, 1.0}))
    said, console = [], Console(stderr=True)
    for people in options.people:
        curves = made(people, options.seeds, shares, options.runs, console)
        said.append(claims(people, curves))
        if options.pictures:
            draw_shares(people, curves, options.pictures / f"figure_{FIGURE_OF[people]}.png")
            if people == options.people[-1]:
                draw_scratch(people, curves, options.pictures / "figure_2.png")
    if options.json:
        print(json.dumps({"figures": "S2 2-5", "rows": said}))
        return
    for row in said:
        shares = ", ".join(f"{share} {value:.0%}" for share, value in row["share_of_ceiling"].items())
        print(
            f"{row['people']} people, {row['seeds']} seeds: share of the ceiling {row['accuracy_at_100']:.3f}: {shares}"
        )
        print("  general accuracy: " + ", ".join(f"{s} {value:.3f}" for s, value in row["general_accuracy"].items()))
        print(
            f"  first epoch: resumed {row['first_epoch_resumed']:.3f}, from scratch {row['first_epoch_scratch']:.3f}"
            f" (after the last {row['last_epoch_scratch']:.3f})"
        )


if __name__ == "__main__":
    main()
