"""Our side of the encrypted benchmarks, in a process of its own (see ``kakuri.bench.worker``)."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from kakuri.bench.encrypted_case import plan_for, profile_counts
from kakuri.encrypted import Query


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    """Index -1 means all images in one query (batch packing)."""
    job = json.loads((folder / "ours.json").read_text(encoding="utf-8"))
    with np.load(folder / "images.npz", allow_pickle=False) as archive:
        images, calibration = archive["images"], archive["calibration"]
    start = time.perf_counter()
    client, server = plan_for(Path(job["weights"]), job["packing"], calibration).build(threads=job["threads"])
    setup = time.perf_counter() - start
    batched = client.deployment.capacity > 1
    if not batched:
        server.run(client.encrypt(images[0]))  # warm-up
    _say({"ready": {"setup_seconds": setup}})
    summary: dict[str, Any] = {}
    for line in sys.stdin:
        index = json.loads(line)["run"]
        query = client.encrypt(images if index < 0 else images[index]).to_bytes()
        start, start_cpu = time.perf_counter(), time.process_time()
        answer = server.run(Query.from_bytes(query))
        reply = answer.to_bytes()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
        values = client.decrypt(answer)
        values_sent = (values if index < 0 else values[0]).tolist()
        _say({"seconds": seconds, "cpu_seconds": cpu_seconds, "values": values_sent})
        summary = {"query_bytes": len(query), "answer_bytes": len(reply)}
        if server.last_profile is not None:
            summary["counts"] = profile_counts(server.last_profile)
    summary["evaluation_key_bytes"] = server.evaluation_key_bytes
    summary["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    _say({"summary": summary})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
