"""Small real models, exported from PyTorch, for tests that need keys but not a large ring's time."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import nn

from kakuri import model


class _Square(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x


def small_network(samples: int) -> tuple[ir.Model, NDArray[np.float64]]:
    """Convolution, square, dense on 1x6x6 images, and ``samples`` of them."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), _Square(), nn.Flatten(), nn.Linear(32, 3)).eval()
    images = np.random.default_rng(0).uniform(size=(samples, 1, 6, 6))
    return model.load(net, example=torch.zeros(1, 1, 6, 6)), images
