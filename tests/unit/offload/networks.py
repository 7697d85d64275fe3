"""Small networks and places for the tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakuri import offload
from kakuri.errors import KakuriError
from kakuri.offload.core import Core
from kakuri.offload.places import Place, nothing
from kakuri.offload.transport.frames import Message, Op

Change = Callable[[Message, Message], Message]


class Convolutional(nn.Module):
    """Two convolutions, normalisation, two dense layers; inputs (b, 3, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, bias=False)
        self.fc1 = nn.Linear(8 * 3 * 3, 16)
        self.fc2 = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv1(x)))
        x = torch.relu(self.conv2(x)).flatten(1)
        scores: Tensor = self.fc2(torch.relu(self.fc1(x)))
        return scores


class Transformer(nn.Module):
    """One block of a vision transformer; inputs (b, 3, 8, 8)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, stride=4)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        x = x + self.out(functional.scaled_dot_product_attention(q, k, v))
        x = x + self.down(functional.gelu(self.up(self.norm(x))))
        scores: Tensor = self.head(x.mean(1))
        return scores


def batches(count: int, size: int = 8, seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(size, 3, 8, 8, generator=generator), torch.randint(0, 4, (size,), generator=generator))
        for _ in range(count)
    ]


class InProcess:
    """An untrusted place without a process: a real ``Core``, whose answers ``change`` may alter.

    change: (request, honest answer) -> answer. asked: every request, as it arrived.
    """

    trusted = False

    def __init__(self, name: str = "in-process", change: Change | None = None) -> None:
        self.name = name
        self.quarantined = False
        self.core = Core()
        self.change = change
        self.asked: list[Message] = []

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    def ask(self, message: Message, meanwhile: Callable[[], None] = nothing) -> Message:
        meanwhile()
        self.asked.append(message)
        answer = self.core.handle(message)
        self.core.finish()
        if self.change is not None:
            answer = self.change(message, answer)
        if answer.op is Op.REFUSED:
            raise KakuriError("KK-O22", "refused", got=answer.integers)
        return answer

    def close(self) -> None:
        self.core = Core()


def pool(*places: Place) -> offload.Pool:
    return offload.Pool(list(places) or [InProcess()])


def train(model: nn.Module, optimizer: torch.optim.Optimizer, data: object, epochs: int = 1) -> list[float]:
    """The plain loop of PyTorch; the loss of every step."""
    losses = []
    for _ in range(epochs):
        for x, y in data:  # type: ignore[attr-defined]
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses


def largest_difference(first: nn.Module, second: nn.Module) -> float:
    """Over all tensors of both state_dicts, which must have the same names."""
    a, b = first.state_dict(), second.state_dict()
    assert list(a) == list(b)
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)
