"""Encrypted CIFAR-10 answers of several threads beside one: two servers of one deployment, in turns.

Settings: ``images`` (100), ``threads`` 2 at least; cases and data as in ``encrypted-cifar10``. Seconds are from query
bytes to answer bytes, after one answer each to warm up. ``ratio``: one thread's median over theirs; it says something
only when the processors are free, so ``ratio_of_fastest`` stands beside it. Both must answer with the same bytes.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from kakuri.bench.encrypted_case import Subject, plan_for, timing
from kakuri.bench.encrypted_cifar10 import subjects
from kakuri.bench.rows import Options, Row
from kakuri.encrypted import Query, Server
from kakuri.errors import KakuriError


def run(options: Options) -> list[Row]:
    """Two rows per case. Raises KK-C24 for fewer than two threads."""
    if options.threads == 1:
        raise KakuriError("KK-C24", "nothing to share", got=f"{options.threads} threads", hint="--threads 2")
    rows: list[Row] = []
    for subject in subjects(options, int(options.settings.get("images", "100"))):
        rows += _case(subject, options)
    return rows


def _case(subject: Subject, options: Options) -> list[Row]:
    options.report(f"{subject.name}: planning, building")
    client, one = plan_for(subject.weights, "auto", subject.calibration).build(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        one.save(Path(folder) / "net.kkr")
        many = Server.load(Path(folder) / "net.kkr", threads=options.threads)
    seconds: dict[int, list[float]] = {1: [], options.threads: []}
    warm_up = client.encrypt(subject.images[0])
    for server in (one, many):
        server.run(warm_up)
    for index, image in enumerate(subject.images):
        query = client.encrypt(image).to_bytes()
        answers = []
        for threads, server in ((1, one), (options.threads, many)):
            start = time.perf_counter()
            answers.append(server.run(Query.from_bytes(query)).to_bytes())
            seconds[threads].append(time.perf_counter() - start)
        if answers[0] != answers[1]:
            raise KakuriError("KK-C22", "threads changed the answer", where=subject.name)
        options.report(f"{subject.name}: image {index + 1} of {len(subject.images)}")
    alone, shared = (timing(times) for times in seconds.values())
    compared: dict[str, Any] = {
        name: alone[f"latency_{key}seconds"] / shared[f"latency_{key}seconds"]
        for name, key in (("ratio", ""), ("ratio_of_fastest", "min_"))
    }
    return [
        Row("kakuri", f"{subject.name}/1", alone),
        Row("kakuri", f"{subject.name}/{options.threads}", shared | compared),
    ]
