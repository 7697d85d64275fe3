"""Small networks of the families that S1 trains: VGG, ResNet and ViT, for inputs (b, 3, side, side)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10


class Vgg(nn.Module):
    """Pairs of 3x3 convolutions with ``width`` and twice as many filters, each pair halved in size, and two dense
    layers."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 3
        for filters in (width, width, 2 * width, 2 * width):
            blocks += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
            channels = filters
        blocks.insert(6, nn.MaxPool2d(2))
        self.features = nn.Sequential(*blocks, nn.MaxPool2d(2), nn.Flatten())
        self.hidden = nn.Linear(channels * (side // 4) ** 2, 4 * width)
        self.scores = nn.Linear(4 * width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.scores(torch.relu(self.hidden(self.features(x))))
        return y


class _Residual(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(filters), nn.BatchNorm2d(filters)
        self.short = nn.Conv2d(channels, filters, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + self.short(x))


class ResNet(nn.Module):
    """Three residual blocks of ``width``, twice and four times as many filters."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(
            _Residual(width, width, 1), _Residual(width, 2 * width, 2), _Residual(2 * width, 4 * width, 2)
        )
        self.scores = nn.Linear(4 * width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.scores(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))
        return y


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(b, t, width))
        y: Tensor = x + self.down(functional.gelu(self.up(self.norm2(x))))
        return y


class Vit(nn.Module):
    """Patches of 4x4, two blocks of four times ``width``, mean over tokens."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        size = 4 * width
        self.patch = nn.Conv2d(3, size, 4, stride=4)
        self.place = nn.Parameter(0.02 * torch.randn((side // 4) ** 2, size))
        self.blocks = nn.Sequential(_Block(size, 4), _Block(size, 4))
        self.norm, self.scores = nn.LayerNorm(size), nn.Linear(size, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.place
        y: Tensor = self.scores(self.norm(self.blocks(x)).mean(1))
        return y


NETWORKS: Mapping[str, Callable[[int, int], nn.Module]] = {"vgg": Vgg, "resnet": ResNet, "vit": Vit}
