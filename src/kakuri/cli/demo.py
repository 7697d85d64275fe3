"""``kakuri demo``: a server reads handwritten digits that it never sees.

Purpose: the whole story in one command: plan, keys, encryption, answers, and an audit of what the server held; then the
same network sealed for a device (``demo_enclave``).
Guarantees: nothing is shown that did not happen in this run. Client and server exchange bytes only, and the server is
loaded from the package file that a real one would get. Files live in a temporary folder and are gone afterwards.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.columns import Columns
from rich.console import RenderableType
from rich.markup import escape
from rich.panel import Panel

from kakuri import audit, encrypted, model, zoo
from kakuri.audit import targets
from kakuri.cli import exit_codes
from kakuri.cli.audit_report import shown
from kakuri.cli.demo_enclave import sealed_part
from kakuri.cli.output import JsonOption, Step, facts, output_of, table
from kakuri.cli.rooms import ThreadsOption
from kakuri.encrypted import Answer, Client, EncryptedPlan, Query, Server
from kakuri.trust import ENCRYPTED_INFERENCE, Exposure, who_sees_what
from kakuri.units import bytes_text, seconds_text
from kakuri.zoo.samples import Sample

NETWORK = "mnist-3layer-square"


@dataclass(frozen=True)
class Answered:
    """One picture: its label, what the network says in the clear, what came back decrypted, and the cost."""

    picture: int
    label: int
    plain_answer: int
    encrypted_answer: int
    largest_score_difference: float
    seconds: float
    query_bytes: int
    answer_bytes: int


def command(
    context: typer.Context,
    pictures: Annotated[int, typer.Option("--pictures", min=1, max=200, help="How many digits are sent.")] = 10,
    with_audit: Annotated[bool, typer.Option("--audit/--no-audit", help="Attack the recorded queries.")] = True,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> int:
    """Watch a trained network read handwritten digits that the server never sees."""
    output = output_of(context)
    sample = zoo.samples.mnist_sample()
    net = model.load(zoo.weights.path(NETWORK))
    with output.progress("planning") as step:
        plan = encrypted.plan(net, calibration=sample.images)
        with tempfile.TemporaryDirectory() as folder:
            step("making keys", 0.05)
            client, server = _two_sides(plan, Path(folder), threads)
        plain = model.reference_outputs(net, sample.images[:pictures])
        rows, first_query = _ask(client, server, sample, plain, step)
        report = _attack(client, server, sample, step) if with_audit else None
        step("the same network, sealed for a device", 0.95)
        sealed, sealed_shown = sealed_part(net, sample, plain)
    agree = sum(row.plain_answer == row.encrypted_answer for row in rows)
    data = {
        "network": NETWORK,
        "plan": plan.to_dict(),
        "answers": [asdict(row) for row in rows],
        "agreement": agree / len(rows),
        "accuracy": sum(row.label == row.encrypted_answer for row in rows) / len(rows),
        "audit": report.to_dict() if report else None,
        "sealed": sealed,
    }
    parts = [*_story(sample.pixels[0, 0], first_query), *_answers(rows), *_costs(plan, rows), *_visibility()]
    output.result(data, *parts, *(["", *shown(report)] if report else []), "", *sealed_shown, "", *_next_steps())
    failed = agree < len(rows) or (report is not None and not report.ok)
    return exit_codes.AUDIT if failed else exit_codes.OK


def _two_sides(plan: EncryptedPlan, folder: Path, threads: int | None) -> tuple[Client, Server]:
    """Both sides through their files, as on two machines."""
    client, server = plan.build(threads=threads)
    client.save(folder / "client.kkey")
    server.save(folder / "net.kkr")
    return Client.load(folder / "client.kkey"), Server.load(folder / "net.kkr", threads=threads)


def _ask(
    client: Client, server: Server, sample: Sample, plain: NDArray[Any], step: Step
) -> tuple[list[Answered], bytes]:
    """Sends each picture; returns the rows and the first query's bytes."""
    rows = []
    first = b""
    for index, expected in enumerate(plain.reshape(len(plain), -1)):
        share = 0.1 + 0.7 * index / len(plain)
        step(f"picture {index + 1} of {len(plain)}: computing on ciphertexts", share)
        query = client.encrypt(sample.images[index]).to_bytes()
        started = time.perf_counter()
        answer = server.run(Query.from_bytes(query)).to_bytes()
        seconds = time.perf_counter() - started
        scores = client.decrypt(Answer.from_bytes(answer)).reshape(-1)
        difference = float(np.abs(scores - expected).max())
        labels = int(sample.labels[index]), int(expected.argmax()), int(scores.argmax())
        rows.append(Answered(index, *labels, difference, seconds, len(query), len(answer)))
        first = first or query
    return rows, first


def _attack(client: Client, server: Server, sample: Sample, step: Step) -> audit.AuditReport:
    """The attacks on fresh queries for all sample pictures; their answers would take too long here."""
    subjects = targets.encrypted(client, server, sample.images, sample.labels, answers=0)
    return audit.run(subjects, progress=lambda line: step(f"attacking: {line}", 0.85))


def _story(pixels: NDArray[np.uint8], query: bytes) -> list[RenderableType]:
    head = len(query) - len(query) // 2  # far behind the message's header
    seen = np.frombuffer(query, np.uint8, pixels.size, head).reshape(pixels.shape)
    left = Panel.fit(escape(_drawn(pixels)), title="the client's picture")
    right = Panel.fit(escape(_drawn(seen)), title="what the server gets")
    return [Columns([left, right], padding=(0, 4)), ""]


def _drawn(pixels: NDArray[np.uint8]) -> str:
    """One character for two rows of one column, which is about square in a terminal."""
    shades = " ░▒▓█"
    rows = pixels[: len(pixels) // 2 * 2].reshape(-1, 2, pixels.shape[1]).mean(axis=1)
    return "\n".join("".join(shades[int(value * len(shades) / 256)] for value in row) for row in rows)


def _answers(rows: list[Answered]) -> list[RenderableType]:
    columns = ("picture", "true label", "in the clear", "encrypted", "score difference", "seconds", "sent", "received")
    shown_rows = table(*columns, right=columns)
    for row in rows:
        same = "green" if row.plain_answer == row.encrypted_answer else "bold red"
        shown_rows.add_row(
            str(row.picture + 1),
            str(row.label),
            str(row.plain_answer),
            f"[{same}]{row.encrypted_answer}[/]",
            f"{row.largest_score_difference:.4f}",
            f"{row.seconds:.3g}",
            bytes_text(row.query_bytes),
            bytes_text(row.answer_bytes),
        )
    return [shown_rows, ""]


def _costs(plan: EncryptedPlan, rows: list[Answered]) -> list[RenderableType]:
    figures = plan.to_dict()
    agree = sum(row.plain_answer == row.encrypted_answer for row in rows)
    right = sum(row.label == row.encrypted_answer for row in rows)
    keys = bytes_text(figures["evaluation_key_bytes"])
    sent = sum(row.query_bytes + row.answer_bytes for row in rows)
    summary = {
        "agreement": f"{agree} of {len(rows)} encrypted answers equal those in the clear, {right} are right",
        "time": f"{seconds_text(median(row.seconds for row in rows))} a picture (median)",
        "bytes": f"{bytes_text(sent)} for {len(rows)} pictures, and once {keys} of evaluation keys",
        "security": f"{figures['security_bits']} bits, ring dimension {figures['ring_dimension']}",
    }
    return [facts(summary), ""]


def _visibility() -> list[RenderableType]:
    seen = who_sees_what([ENCRYPTED_INFERENCE])
    made = table("who sees what", *seen.parties)
    for asset, cells in zip(seen.assets, seen.cells, strict=True):
        made.add_row(asset, *(_exposure(cell) for cell in cells))
    return [made]


def _exposure(cell: Exposure | None) -> str:
    return f"[{'cyan' if cell.readable else 'green'}]{escape(str(cell))}[/]" if cell else ""


def _next_steps() -> list[RenderableType]:
    return [
        "Your own model:  kakuri build encrypted model.onnx -o net.kkr --keys client.kkey",
        "What it costs:   kakuri plan encrypted model.onnx",
        "What it leaks:   kakuri audit net.kkr -o audit.html",
        "On a device:     kakuri build enclave model.onnx -o sealed.kkr --for device.kkey",
    ]
