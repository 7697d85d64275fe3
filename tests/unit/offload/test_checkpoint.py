"""Sealed checkpoints: exact resume, and nothing readable or changeable on the disk."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kakuri import offload
from kakuri.errors import KakuriError
from kakuri.trust.sealed_file import seal, unseal

from .networks import Convolutional, batches, largest_difference, pool, train

KEY = bytes(range(32))


def build(model: nn.Module, kind: str) -> Any:
    made: torch.optim.Optimizer = (
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        if kind == "SGD"
        else torch.optim.AdamW(model.parameters(), lr=1e-2)
    )
    tier = "T2" if kind == "SGD" else "T1"  # Adam enlarges rounding where the gradient is zero, and T2 leaves no zeros
    return offload.plan(model, tier=tier, base="private", master="process", workers=pool()).build(made)


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_a_restarted_master_goes_on_exactly(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "training.sealed"
    start = Convolutional()
    data = batches(6)
    undisturbed, optimizer, _ = build(copy.deepcopy(start), kind)
    expected = train(undisturbed, optimizer, data)
    first, optimizer, _ = build(copy.deepcopy(start), kind)
    train(first, optimizer, data[:3])
    offload.save_checkpoint(path, first, optimizer, KEY, extra={"batch": 3})
    expected_noise = torch.rand(3)
    saved = path.read_bytes()
    for value in first.state_dict().values():
        rows = value.reshape(len(value), -1) if value.dim() > 1 else value[None]
        assert not any(row.numpy().tobytes() in saved for row in rows.float() if row.numel() > 1)
    del first, optimizer  # the master is gone
    second, optimizer, _ = build(Convolutional(), kind)
    extra = offload.load_checkpoint(path, second, optimizer, KEY)
    assert torch.equal(torch.rand(3), expected_noise)
    assert train(second, optimizer, data[extra["batch"] :]) == pytest.approx(expected[3:], rel=1e-4)
    if kind == "SGD":  # AdamW divides by gradients that are nothing but rounding, before normalisation
        assert largest_difference(second, undisturbed) < 2e-5


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "training.sealed"
    model, optimizer, _ = build(Convolutional(), "SGD")
    offload.save_checkpoint(path, model, optimizer, KEY)
    with pytest.raises(KakuriError, match="KK-T11"):
        offload.load_checkpoint(path, model, optimizer, bytes(32))
    model, optimizer, _ = build(Convolutional(), "AdamW")
    with pytest.raises(KakuriError, match="KK-O39"):
        offload.load_checkpoint(path, model, optimizer, KEY)


@pytest.mark.parametrize("size", [0, 1, 1 << 24, (1 << 24) + 1])
def test_sealed_bytes_come_back(size: int, tmp_path: Path) -> None:
    body = os.urandom(min(size, 64)) * (size // 64 + 1)
    body = body[:size]
    seal(tmp_path / "file", "test", body, KEY, public={"step": 4})
    assert unseal(tmp_path / "file", "test", KEY) == (body, {"step": 4})
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_any_change_of_a_sealed_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seal(path, "test", b"weights" * 9, KEY, public={"step": 4})
    whole = path.read_bytes()
    damaged = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for data in (*damaged, whole[:-1], whole + b"x", whole[:40], b""):
        path.write_bytes(data)
        with pytest.raises(KakuriError, match=r"KK-T1[01]|KK-F13"):
            unseal(path, "test", KEY)
    path.write_bytes(whole)
    for kind, key, code in (("other", KEY, "KK-T12"), ("test", bytes(32), "KK-T11"), ("test", b"short", "KK-K28")):
        with pytest.raises(KakuriError, match=code):
            unseal(path, kind, key)
    with pytest.raises(KakuriError, match="KK-F13"):
        unseal(path, "test", KEY, limit_bytes=8)
