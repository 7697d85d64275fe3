"""Rows of tables 5.9 and 5.10 and points of figure 5.1: encrypted inference, the document's values beside ours.

Operation counts come from executing the compiled program (a dry run without arithmetic; the end-to-end tests show
that the kernel counts the same). With ``--images N`` accuracy and latency are measured on the first N images of the
test set, encrypted, channel-wise as in the document and with the planner's own packing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from printed_tables import printed, shipped_name
from rich.console import Console
from rich.table import Table

from kakuri import encrypted, model
from kakuri.encrypted import EncryptedPlan
from kakuri.errors import KakuriError
from kakuri.zoo import weights
from kakuri.zoo.data import ImageDataset
from kakuri.zoo.preprocessing import PREPROCESSING

COLUMNS = ("hmulplain", "hsquare", "rotation", "relinearize", "rescale")
LOG_N = 14  # the document's 8,192 slots
PRECISION_BITS = 6  # after the binary point, in its packings; it names none

#: Where the printed value is not what its own formulas give (S4 table 4.1); (network, activation, packing, column).
Misprints = Mapping[tuple[str, str, str, str], str]


@dataclass(frozen=True)
class Images:
    """The first test images: float32 (n, c, h, w) as the networks take them, labels (n,), and how many threads run."""

    pixels: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    threads: int


def documents(dataset: str) -> list[dict[str, str]]:
    """The printed rows of one data set."""
    return [row for row in printed("encrypted_inference") if row["dataset"] == dataset]


def plan_of(document: Mapping[str, str], packing: str, calibration: npt.NDArray[np.float32]) -> EncryptedPlan:
    """A plan of the shipped network of a printed row. The document's packings count as it counts and use its ring, or
    the next one where that leaves too little precision."""
    net = model.load(weights.path(shipped_name(document["network"], document["activation"])))
    if packing not in {"batch", "channel"}:
        return encrypted.plan(net, packing=packing, calibration=calibration)
    settings: dict[str, Any] = {"packing": packing, "precision_bits": PRECISION_BITS, "drop_unneeded": False}
    in_ring = partial(encrypted.plan, net, calibration=calibration, **settings)
    try:
        return in_ring(log_n=LOG_N)
    except KakuriError as error:
        if error.code != "KK-E20":
            raise
        return in_ring(log_n=LOG_N + 1)


def counts(plan: EncryptedPlan) -> dict[str, int]:
    """By column; rotations without shift are added, as the document counts them."""
    total = plan.counts
    return {c: total[c] + (total["rotation_identity"] if c == "rotation" else 0) for c in COLUMNS}


def measure(plan: EncryptedPlan, images: Images) -> dict[str, float]:
    """Encrypted accuracy in percent and median seconds per image."""
    client, server = plan.build(threads=images.threads)
    right, seconds = 0, []
    for image, label in zip(images.pixels, images.labels, strict=True):
        query = client.encrypt(image)
        start = time.perf_counter()
        answer = server.run(query)
        seconds.append(time.perf_counter() - start)
        right += int(client.decrypt(answer)[0].argmax() == label)
    return {"accuracy_percent": 100 * right / len(images.labels), "latency_seconds": statistics.median(seconds)}


def row(document: Mapping[str, str], calibration: npt.NDArray[np.float32], images: Images | None) -> dict[str, Any]:
    """Ours for one printed row, by column; columns are missing where no such network ships."""
    ours: dict[str, float] = {}
    if shipped_name(document["network"], document["activation"]) in weights.names():
        plan = plan_of(document, document["packing"], calibration)
        ours |= counts(plan)
        if images is not None and document["packing"] == "channel":
            ours |= measure(plan, images)
            fast = measure(plan_of(document, "multiplexed", calibration), images)
            ours |= {f"multiplexed_{column}": value for column, value in fast.items()}
    return {**{key: document[key] for key in ("network", "activation", "packing")}, "document": document, "ours": ours}


def compared(found: dict[str, Any], misprints: Misprints) -> dict[str, Any]:
    """The row with document, ours and difference by column; our own packing stands beside the channel-wise figure."""
    key = (found["network"], found["activation"], found["packing"])
    columns = {}
    for column, value in found["ours"].items():
        theirs = float(found["document"][column.removeprefix("multiplexed_")])
        note = misprints.get((*key, column), "")
        columns[column] = {"document": theirs, "ours": value, "difference": value - theirs, "note": note}
    return {"network": key[0], "activation": key[1], "packing": key[2], "columns": columns}


def table_arguments(description: str | None) -> argparse.ArgumentParser:
    """Options that every script of encrypted inference has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=0, help="images to answer encrypted, per channel-wise row")
    parser.add_argument("--data", type=Path, help="folder of the data set (default: KAKURI_DATA, else downloaded)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


def first_images(dataset: ImageDataset, options: argparse.Namespace) -> Images:
    """As many as asked for."""
    pixels = PREPROCESSING.apply(dataset.test_images[: options.images])
    return Images(pixels, dataset.test_labels[: options.images], options.threads)


def encrypted_table(
    title: str,
    printed_rows: Sequence[Mapping[str, str]],
    calibration: npt.NDArray[np.float32],
    images: Images | None,
    misprints: Misprints,
    *,
    as_json: bool,
) -> None:
    """Count, measure where there are images, print."""
    progress = Console(stderr=True)
    rows = []
    for document in printed_rows:
        progress.print(f"{document['network']} {document['activation']} {document['packing']}")
        rows.append(compared(row(document, calibration, images), misprints))
    if as_json:
        answered = 0 if images is None else len(images.labels)
        print(json.dumps({"table": title, "images": answered, "rows": rows}, ensure_ascii=False))
        return
    table = Table("network", "activation", "packing", "quantity", "document", "ours", "difference", "note", title=title)
    for r in rows:
        for column, v in r["columns"].items():
            numbers = [f"{v[k]:,.2f}".rstrip("0").rstrip(".") for k in ("document", "ours", "difference")]
            table.add_row(r["network"], r["activation"], r["packing"], column, *numbers, v["note"])
    Console(width=150).print(table)
