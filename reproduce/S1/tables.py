"""S1: training and inference on CIFAR-10 or MNIST with a trusted master and untrusted workers.

    python reproduce/S1/tables.py --runs runs/tempo [--images 2000] [--epochs 2] [--batch 50] [--width 16] [--seeds 1]
        [--networks resnet vgg vit] [--tiers T1 T2] [--data cifar10] [--cooling] [--trials 1000] [--pictures FOLDER]
        [--json]

Table 1: accuracy and processor seconds beside plain training from the same start, in the same order, in the same run,
and what another order of summation alone changes.
Table 2: encryption operations per step with and without key shift. Table 3: wrong products that were caught. Resumable:
what lies in --runs is not made again. The document names ResNet and ViT on GPUs; these are small networks of their
families, and VGG. Where there is no accelerator, workers share the master's processor, and offloading costs time by
nature: the document's speed-up cannot show.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from training import DATA, PLAIN, Work, operations, train

from kakuri.bench import Options
from kakuri.bench.offload_integrity import run as integrity
from kakuri.bench.offload_networks import NETWORKS
from kakuri.bench.personal_runs import kept

mpl.use("Agg")
from matplotlib import pyplot as plt

PRINTED = {"keyshift_ratio": 2.0}
"""The document: key shift halves the encryption work of an epoch."""
Trained = dict[tuple[str, str], list[dict[str, Any]]]


def trained(options: argparse.Namespace, work: Work) -> Trained:
    systems = [*PLAIN, *options.tiers]
    found: Trained = {}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=len(options.networks) * len(systems) * options.seeds)
        for network in options.networks:
            for seed in range(options.seeds):
                for system in systems:
                    path = options.runs / f"{network}-{system}-{work.name}-{seed}.json"
                    one = kept(path, partial(train, network, system, work, seed))
                    found.setdefault((network, system), []).append(one)
                    progress.advance(task)
    return found


def accuracy_rows(found: Trained) -> list[dict[str, Any]]:
    """Table 1; differences are to plain training of the same seed, the largest over the seeds."""
    rows = []
    for (network, system), runs in found.items():
        plain = found[network, "plain"]
        pairs = list(zip(runs, plain, strict=True))
        row = {
            "network": network,
            "system": system,
            "seeds": len(runs),
            "accuracy_percent": 100 * float(np.mean([run["accuracy"] for run in runs])),
            "step_cpu_seconds": float(np.mean([run["step_cpu_seconds"] for run in runs])),
            "answer_cpu_seconds": float(np.mean([run["answer_cpu_seconds"] for run in runs])),
        }
        if system != "plain":
            row |= {
                "accuracy_difference_points": max(100 * abs(a["accuracy"] - b["accuracy"]) for a, b in pairs),
                "first_loss_difference": max(_relative(a["losses"][0], b["losses"][0]) for a, b in pairs),
                "last_loss_difference": max(_relative(a["losses"][-1], b["losses"][-1]) for a, b in pairs),
                "same_answers_percent": 100 * float(np.mean([np.equal(a["answers"], b["answers"]) for a, b in pairs])),
                "ratio": float(np.mean([b["step_cpu_seconds"] / a["step_cpu_seconds"] for a, b in pairs])),
            }
        if system not in PLAIN:
            row["incidents"] = sum(run["counters"]["incidents"] for run in runs)
        rows.append(row)
    return rows


def _relative(ours: float, plain: float) -> float:
    return abs(ours - plain) / abs(plain)


def operation_rows(options: argparse.Namespace, work: Work) -> list[dict[str, Any]]:
    """Table 2; T3 shares every product afresh and has no key shift."""
    rows = []
    for network in options.networks:
        for tier in (tier for tier in options.tiers if tier != "T3"):
            counts = [
                kept(
                    options.runs / f"operations-{network}-{tier}-{work.name}-{key_shift}.json",
                    partial(operations, network, tier, work, 0, key_shift=key_shift),
                )
                for key_shift in (True, False)
            ]
            shifted, fresh = (one["blindings"] + one["unblindings"] for one in counts)
            rows.append(
                {"network": network, "tier": tier, "with_key_shift": shifted, "without": fresh}
                | {"keyshift_ratio": fresh / shifted, "printed": PRINTED["keyshift_ratio"]}
            )
    return rows


def integrity_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Table 3."""

    def measured() -> dict[str, Any]:
        rows = integrity(Options(threads=1, settings={"images": str(options.trials)}))
        return {"rows": [row.to_dict() for row in rows]}

    found: list[dict[str, Any]] = kept(options.runs / f"integrity-{options.trials}.json", measured)["rows"]
    return found


def draw_losses(found: Trained, networks: list[str], path: Path) -> None:
    figure, axes = plt.subplots(
        1, len(networks), figsize=(4.2 * len(networks), 3.4), squeeze=False, layout="constrained"
    )
    styles = {
        "plain": ("black", "-", 3.0),
        "T1": ("tab:blue", "-", 1.2),
        "T2": ("tab:orange", "--", 1.2),
        "reordered": ("grey", ":", 1.5),
    }
    for place, network in zip(axes[0], networks, strict=True):
        for (name, system), runs in found.items():
            if name == network:
                colour, line, width = styles.get(system, ("tab:green", ":", 1.2))
                place.plot(runs[0]["losses"], line, color=colour, linewidth=width, label=system)
        place.set(title=network, xlabel="step", ylabel="loss")
        place.grid(alpha=0.3)
        place.legend()
    figure.suptitle("first seed: plain, summed in another order, and offloaded")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_seconds(rows: list[dict[str, Any]], path: Path) -> None:
    systems = list(dict.fromkeys(row["system"] for row in rows))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
    for number, system in enumerate(systems):
        seconds = [row["step_cpu_seconds"] for row in rows if row["system"] == system]
        axes.bar(np.arange(len(networks)) + 0.8 * number / len(systems), seconds, 0.8 / len(systems), label=system)
    axes.set_xticks(np.arange(len(networks)) + 0.4 - 0.4 / len(systems), networks)
    axes.set(ylabel="processor seconds per step", title="A training step; workers on the master's own processor")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def show(tables: dict[str, list[dict[str, Any]]]) -> None:
    for name, rows in tables.items():
        print(name)
        for row in rows:
            print("  " + ", ".join(f"{key} {_short(value)}" for key, value in row.items()))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of finished runs")
    parser.add_argument("--pictures", type=Path, help="folder for two pictures, .png")
    for name, default in (
        ("images", 2000),
        ("epochs", 2),
        ("batch", 50),
        ("width", 16),
        ("seeds", 1),
        ("trials", 1000),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--tiers", nargs="+", choices=("T1", "T2", "T3"), default=["T1", "T2"])
    parser.add_argument("--data", choices=DATA, default="cifar10")
    parser.add_argument("--cooling", action="store_true", help="the learning rate falls to zero")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = Work(options.images, options.epochs, options.batch, options.width, options.data, options.cooling)
    found = trained(options, work)
    tables = {
        "accuracy": accuracy_rows(found),
        "operations": operation_rows(options, work),
        "integrity": integrity_rows(options),
    }
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        draw_losses(found, options.networks, options.pictures / "losses.png")
        draw_seconds(tables["accuracy"], options.pictures / "seconds.png")
    if options.json:
        print(json.dumps({"tables": "S1", "accelerator": torch.cuda.is_available(), **tables}))
        return
    show(tables)


if __name__ == "__main__":
    main()
