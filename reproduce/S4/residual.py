"""A residual network on encrypted images without bootstrapping: the document's stated next step.

ResNet-8 (16, 32, 64 filters, seven activations of degree 2, random weights) on random CIFAR-10-sized images: planned,
built, answered, and compared with the network in the clear. ``--width 4`` takes a quarter of the filters; the ring,
which follows from the depth, stays. The full width needs 9 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from typing import Any

import numpy as np
import torch

from kakuri import encrypted, model
from kakuri.zoo import networks


def measure(width: int, images: int, threads: int, seed: int = 0) -> dict[str, Any]:
    """Processor seconds are of all threads."""
    torch.manual_seed(seed)
    pixels = np.random.default_rng(seed).uniform(-1, 1, size=(images, 3, 32, 32)).astype(np.float32)
    net = model.load(networks.resnet8(width=width).eval(), example=torch.from_numpy(pixels[:1]))
    start = time.process_time()
    plan = encrypted.plan(net, calibration=pixels)
    planned = time.process_time()
    client, server = plan.build(threads=threads)
    built = time.process_time()
    answers, seconds = [], []
    for image in pixels:
        query = client.encrypt(image)
        begin = time.process_time()
        answer = server.run(query)
        seconds.append(time.process_time() - begin)
        answers.append(client.decrypt(answer)[0])
    expected = model.reference_outputs(plan.net, pixels)
    said = plan.to_dict()
    return {
        "width": width,
        "ring_dimension": said["ring_dimension"],
        "moduli": len(said["moduli_bits"]),
        "security_bits": said["security_bits"],
        "rotations": plan.counts["rotation"],
        "plan_cpu_seconds": planned - start,
        "build_cpu_seconds": built - planned,
        "answer_cpu_seconds": statistics.median(seconds),
        "images": images,
        "largest_error": float(np.abs(np.asarray(answers) - expected).max()),
        "answers_reach": float(np.abs(expected).max()),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16, help="filters of the first stage")
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(measure(options.width, options.images, options.threads), indent=2))


if __name__ == "__main__":
    main()
