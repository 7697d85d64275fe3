"""S0, section 3.2: the LeNets for MNIST at 14x14, 28x28 and 56x56, trained and written as Darknet files.

    python reproduce/S0/train_lenet.py [--data FOLDER] [--sides 14 28 56] [--epochs 3] [--images 60000]

Eleven layers as Darknet numbers them: convolution 6x5x5, max-pool, twice; connected 120, dropout, connected 84,
dropout, connected 10, softmax, cost. The document states neither filters nor training; these are usual ones. Images
are averaged (14) or interpolated (56) from 28x28 and divided by 255. Each network is checked: the files that were
written are loaded again and must give the trained network's scores. Test images choose nothing; they are scored once.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import kakuri as kk
from kakuri.zoo.data.mnist import load_mnist

SIDES = (14, 28, 56)
WEIGHTS = Path(__file__).with_name("weights")
_CFG = """[net]
batch=1
channels=1
height={side}
width={side}

[convolutional]
filters=6
size=5
stride=1
pad=1
activation=relu

[maxpool]
size=2
stride=2

[convolutional]
filters=6
size=5
stride=1
pad=1
activation=relu

[maxpool]
size=2
stride=2

[connected]
output=120
activation=relu

[dropout]
probability=.25

[connected]
output=84
activation=relu

[dropout]
probability=.25

[connected]
output=10
activation=linear

[softmax]

[cost]
type=sse
"""


class LeNet(nn.Module):
    """Scores before the softmax for images (B, 1, side, side)."""

    def __init__(self, side: int) -> None:
        super().__init__()
        quarter = -(-side // 4)
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 6, 5, padding=2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(6 * quarter**2, 120), nn.Linear(120, 84), nn.Linear(84, 10)
        self.dropout = nn.Dropout(0.25)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in (self.conv1, self.conv2):  # Darknet pads max-pooling at the far ends
            x = functional.max_pool2d(functional.pad(functional.relu(conv(x)), (0, 1, 0, 1)), 2, 2)
        x = self.dropout(functional.relu(self.fc1(x.flatten(1))))
        return self.fc3(self.dropout(functional.relu(self.fc2(x))))


def resized(images: np.ndarray, side: int) -> torch.Tensor:
    """uint8 (n, 1, 28, 28) -> float32 (n, 1, side, side) in 0 ... 1."""
    x = torch.from_numpy(images).float() / 255.0
    if side < 28:
        return functional.avg_pool2d(x, 28 // side)
    return x if side == 28 else functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def trained(side: int, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> LeNet:
    torch.manual_seed(side)
    net = LeNet(side)
    batches = len(images) // 128
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        net.train()
        for batch in torch.randperm(len(images))[: batches * 128].view(batches, 128):
            loss = functional.cross_entropy(net(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"{side}x{side}, epoch {epoch + 1}: loss {loss.item():.4f}", flush=True)
    return net.eval()


def write_darknet(net: LeNet, side: int, folder: Path) -> Path:
    """``lenet-SIDE.cfg`` and ``.weights`` (header 0.2.0, images seen as 64 bits; each layer's biases, then weights)."""
    layers = (net.conv1, net.conv2, net.fc1, net.fc2, net.fc3)
    arrays = [part.detach().numpy().astype("<f4") for layer in layers for part in (layer.bias, layer.weight)]
    (folder / f"lenet-{side}.weights").write_bytes(
        struct.pack("<iiiq", 0, 2, 0, 60_000) + b"".join(array.tobytes() for array in arrays)
    )
    path = folder / f"lenet-{side}.cfg"
    path.write_text(_CFG.format(side=side), encoding="ascii")
    return path


def scores(net: LeNet, images: torch.Tensor) -> Iterator[torch.Tensor]:
    with torch.inference_mode():
        for part in images.split(1000):
            yield functional.softmax(net(part), dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, choices=SIDES)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000, help="the first so many training images")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = load_mnist(options.data)
    images, labels = data.train_images[: options.images], torch.from_numpy(data.train_labels[: options.images])
    WEIGHTS.mkdir(exist_ok=True)
    for side in options.sides:
        net = trained(side, resized(images, side), labels, options.epochs)
        test = resized(data.test_images, side)
        found = torch.cat(list(scores(net, test))).numpy()
        path = write_darknet(net, side, WEIGHTS)
        again = kk.model.reference_outputs(kk.load(path), test[:64].numpy())
        assert np.abs(again - found[:64]).max() < 1e-5, "the files give other scores than the network"
        print(f"{path.name}: {100 * (found.argmax(axis=1) == data.test_labels).mean():.2f} % of 10,000 test images")


if __name__ == "__main__":
    main()
