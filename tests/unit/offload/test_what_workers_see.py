"""A worker never receives a key, a label, a loss or a plain tensor: every byte is recorded and searched."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import kakuri
from kakuri import offload

from .conftest import Recording
from .networks import Convolutional, batches

SECRET_MODULES = (
    "kakuri.trust",
    "kakuri.offload.masks",
    "kakuri.offload.tiers",
    "kakuri.offload.verify",
    "kakuri.offload.session",
)


def shared_rows(first: Tensor, second: Tensor) -> int:
    """Rows of ``first`` that stand in ``second`` up to order of entries, sign and a common factor."""

    def normal(rows: Tensor) -> Tensor:
        ordered = rows.abs().sort(dim=1).values
        return ordered / ordered.norm(dim=1, keepdim=True).clamp_min(1e-30)

    if first.dim() != 2 or second.dim() != 2 or first.shape[1] != second.shape[1]:
        return 0
    distance = torch.cdist(normal(first.double()), normal(second.double()))
    return int((distance.min(dim=1).values < 1e-5).sum())


@pytest.mark.parametrize("tier", ["T1", "T2"])
def test_every_byte_that_reaches_a_worker(tier: str, workers: offload.Pool, recording: Recording) -> None:
    recording.clear()
    net = Convolutional()
    starts = {name: value.clone() for name, value in net.state_dict().items()}
    plan = offload.plan(net, tier=tier, base="private", master="process", workers=workers)
    model, optimizer, data = plan.build(torch.optim.SGD(net.parameters(), lr=0.0123, momentum=0.77), batches(2))
    losses, inputs = [], []
    model.fc1.register_forward_pre_hook(lambda module, args: inputs.append(args[0].detach().clone()))
    for x, y in data:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    received = b"".join(data for direction, data in recording.frames if direction == "sent")
    tensors = [tensor for direction, tensor in recording.tensors if direction == "sent"]
    everything = received + b"".join(tensor.numpy().tobytes() for tensor in tensors)
    assert len(tensors) > 8
    for loss_value in losses:
        for dtype in (np.float32, np.float64):
            assert dtype(loss_value).tobytes() not in everything
    for _, labels in batches(2):
        assert labels.numpy().tobytes() not in everything
    for name in starts:
        assert name.encode() not in everything
    plain = {f"input of fc1, {i}": x for i, x in enumerate(inputs)}
    plain |= {name: value for name, value in starts.items() if value.dim() > 1}
    for name, value in plain.items():
        for row in value.reshape(len(value), -1):
            assert row.numpy().tobytes() not in everything, name
    assert not any(
        torch.equal(v.float().flatten(), t.flatten()) for v in starts.values() if v.numel() > 1 for t in tensors
    )
    found = sum(shared_rows(x, tensor) for x in inputs for tensor in tensors)
    if tier == "T1":  # permutations keep the values of a row: the search finds all 16, so it can find
        assert found >= 16
    else:
        assert found == 0


def test_a_worker_process_loads_no_module_with_a_secret() -> None:
    script = f"import sys, kakuri.offload.worker; print([m for m in {SECRET_MODULES!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
    for module in SECRET_MODULES:
        assert importlib.import_module(module)  # the names are right


def test_worker_sources_name_no_secret_module() -> None:
    folder = Path(kakuri.__file__).with_name("offload")
    for name in (
        *("worker.py", "serve.py", "listen.py", "core.py", "sgd.py"),
        *(path.relative_to(folder).as_posix() for path in (folder / "transport").glob("*.py")),
    ):
        tree = ast.parse((folder / name).read_text(encoding="utf-8"))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not any(module.startswith(SECRET_MODULES) for module in imported), name


def test_a_worker_inherits_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from kakuri.offload.places import WorkerProcess

    monkeypatch.setenv("AN_API_TOKEN", "hunter2")
    worker = WorkerProcess("worker")
    environment = Path(f"/proc/{worker.process.pid}/environ").read_bytes()
    worker.close()
    assert b"hunter2" not in environment
    assert worker.process.poll() is not None
