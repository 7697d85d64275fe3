"""A master for test_faults.py, which kills it: trains, saves a sealed checkpoint after each step, and goes on from it.

python -m tests.unit.offload.restarted_master TIER CHECKPOINT RESULT STEPS
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from kakuri import offload

from .networks import Convolutional, batches, train

KEY = bytes(range(32))


def main(tier: str, checkpoint: Path, result: Path, steps: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module = Convolutional()
    plan = offload.plan(module, tier=tier, base="private", master="process")
    model, optimizer, _ = plan.build(torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9))
    done = 0
    if checkpoint.exists():
        done = int(str(offload.load_checkpoint(checkpoint, model, optimizer, KEY)["batch"]))
    worker = offload.session_of(model).pool.places[0]
    print("worker", getattr(worker, "process").pid, flush=True)  # noqa: B009  (the protocol of places has none)
    for batch in batches(steps)[done:]:
        train(model, optimizer, [batch])
        done += 1
        offload.save_checkpoint(checkpoint, model, optimizer, KEY, extra={"batch": done})
        print("step", done, flush=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, result)
    offload.session_of(model).close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
