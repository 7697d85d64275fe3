"""The teacher of `train_cifar10.py`: a published ResNet-20 for CIFAR-10 whose answers the small networks learn from.

Purpose: read its parameters from ``resnet20.npz`` (names as in the network that Yerlan Idelbayev published under a
BSD-style licence, 91.70 % on the test images) and answer each training image once.
Guarantees: the file is read without pickle; only answers to training images are used, and only in training.
Does not guarantee: ignorance of held-out training images; that network was trained on all 50,000. A held-out part
compares students with each other, it does not predict the test accuracy.
Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition" (2016), section 4.2, shortcuts of type A.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from kakuri.files import atomic_write
from kakuri.zoo.training import logits_of

#: Mean and deviation by channel that this network's author subtracted and divided by, on pixels / 255.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STAGES = ((16, 16, 1), (16, 32, 2), (32, 64, 2))


class Block(nn.Module):
    """Two convolutions; where the stage shrinks the image, the shortcut drops pixels and adds channels of zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.added:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added, self.added))
        return functional.relu(x + y)


class ResNet20(nn.Module):
    """Float32 images (n, 3, 32, 32), pixels / 255, in; logits (n, 10) out."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for number, (inputs, outputs, stride) in enumerate(STAGES, start=1):
            blocks = (Block(inputs, outputs, stride), Block(outputs, outputs, 1), Block(outputs, outputs, 1))
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = (image - self.mean) / self.deviation
        x = functional.relu(self.bn1(self.conv1(x.contiguous(memory_format=torch.channels_last))))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def read_teacher(path: Path) -> ResNet20:
    """The network with the parameters of ``path``, in evaluation mode."""
    teacher = ResNet20()
    with np.load(path, allow_pickle=False) as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    counters = {name: value for name, value in teacher.state_dict().items() if name.endswith("num_batches_tracked")}
    teacher.load_state_dict({**state, **counters})
    return teacher.eval()


def teacher_answers(path: Path, images: NDArray[np.uint8], kept: Path) -> Tensor:
    """Logits (n, 10) for each image, uint8 (n, 3, 32, 32); computed once into ``kept``."""
    if not kept.exists():
        content = save({"logits": logits_of(read_teacher(path), images)})
        with atomic_write(kept) as file:
            file.write(content)
    return load_file(kept)["logits"]
