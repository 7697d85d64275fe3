"""Encrypted CIFAR-10 answers of several threads beside one: two servers of one deployment, in turns.

Settings: ``images`` (100), ``threads`` 2 at least; cases and data as in ``encrypted-cifar10``. Seconds are from query
bytes to answer bytes, after one answer each to warm up. ``ratio``: one thread's median over theirs; ``ratio_of_pairs``:
the median of one thread's seconds over theirs for the same image, which a machine that changes its speed by the minute
disturbs less. Both say something only when the processors are free. Both must answer with the same bytes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

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
    pairs = [a / b for a, b in zip(*seconds.values(), strict=True)]
    ratio = alone["latency_seconds"] / shared["latency_seconds"]
    compared = {"ratio": ratio, "ratio_of_pairs": statistics.median(pairs)}
    return [
        Row("kakuri", f"{subject.name}/1", alone),
        Row("kakuri", f"{subject.name}/{options.threads}", shared | compared),
    ]
