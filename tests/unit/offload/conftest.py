"""Shared by the offload tests: one thread, and two real worker processes for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from kakuri import offload


class Recording:
    """What crossed a channel: per direction the frames and the bytes of all tensors."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []
        self.tensors: list[tuple[str, Tensor]] = []

    def __call__(self, direction: str, frame: bytes, tensors: tuple[Tensor, ...]) -> None:
        self.frames.append((direction, frame))
        self.tensors += [(direction, tensor.detach().clone()) for tensor in tensors]

    def clear(self) -> None:
        self.frames.clear()
        self.tensors.clear()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def recording() -> Recording:
    return Recording()


@pytest.fixture(scope="session")
def workers(recording: Recording) -> Iterator[offload.Pool]:
    """Two processes; everything that crosses to them is in ``recording``."""
    with offload.Pool.open("local:2", observer=recording) as pool:
        yield pool
