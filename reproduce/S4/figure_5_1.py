"""Figure 5.1 of S4: accuracy against latency of encrypted CIFAR-10 inference as the second convolution is pruned.

    python reproduce/S4/figure_5_1.py --out figure_5_1.png [--images 20] [--threads 2] [--data FOLDER] [--json]

swish-rg7-deg4, 64, 58, 52 and 45 filters. The document's points are its channel-wise packing on 72 threads; ours are
the channel-wise packing and the planner's own on this machine. Our accuracy is the plaintext one on all 10,000 test
images; encrypted labels are compared with plaintext labels by `kakuri bench encrypted-cifar10`.
The document prints no latency for 30 % pruning (its figure shows a point without a number), so that point is ours only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from encrypted_rows import Images, documents, first_images, measure, plan_of, table_arguments
from printed_tables import shipped_name

from kakuri.zoo import weights
from kakuri.zoo.data import load_cifar10
from kakuri.zoo.preprocessing import PREPROCESSING

mpl.use("Agg")
from matplotlib import pyplot as plt

ACTIVATION, CALIBRATION = "swish-rg7-deg4", 256
FILTERS = {"4layer-CNN": 64, "4layer-CNN-Pruned10%": 58, "4layer-CNN-Pruned20%": 52, "4layer-CNN-Pruned30%": 45}
PACKINGS = {"channel": "ours, channel-wise", "multiplexed": "ours, the planner's choice"}


def points(calibration: np.ndarray[Any, Any], images: Images) -> dict[str, list[dict[str, float]]]:
    """By series, in order of pruning: filters, latency in seconds, accuracy in percent."""
    series: dict[str, list[dict[str, float]]] = {"document, channel-wise, 72 threads": []}
    for row in documents("cifar10"):
        if row["packing"] == "channel" and row["activation"] == ACTIVATION:
            point = {
                "latency_seconds": float(row["latency_seconds"]),
                "accuracy_percent": float(row["accuracy_percent"]),
            }
            series["document, channel-wise, 72 threads"].append({"filters": FILTERS[row["network"]], **point})
    for packing, label in PACKINGS.items():
        series[label] = []
        for network, filters in FILTERS.items():
            name = shipped_name(network, ACTIVATION)
            plan = plan_of({"network": network, "activation": ACTIVATION}, packing, calibration)
            seconds = measure(plan, images)["latency_seconds"]
            accuracy = weights.card(name)["test_accuracy_percent"]
            series[label].append({"filters": filters, "latency_seconds": seconds, "accuracy_percent": accuracy})
    return series


def draw(series: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Latency on a logarithmic axis, because ours and the document's lie a factor of ten and more apart."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for (label, found), marker in zip(series.items(), "o^s", strict=True):
        seconds, accuracy = ([point[key] for point in found] for key in ("latency_seconds", "accuracy_percent"))
        axes.plot(seconds, accuracy, marker=marker, label=label)
        for point in found:
            place = (point["latency_seconds"], point["accuracy_percent"])
            axes.annotate(f"{point['filters']:.0f}", place, textcoords="offset points", xytext=(5, -10), fontsize=8)
    axes.set(
        xscale="log", xlabel="seconds per image", ylabel="accuracy, %", title="4layer-CNN, swish-rg7-deg4, CIFAR-10"
    )
    axes.grid(alpha=0.3)
    axes.legend(title="numbers: filters of conv2")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = table_arguments(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the picture, .png or .svg")
    parser.set_defaults(images=20)
    options = parser.parse_args()
    dataset = load_cifar10(options.data)
    series = points(PREPROCESSING.apply(dataset.train_images[:CALIBRATION]), first_images(dataset, options))
    draw(series, options.out)
    if options.json:
        print(json.dumps({"figure": "S4 5.1", "images": options.images, "series": series}, ensure_ascii=False))


if __name__ == "__main__":
    main()
