"""Darknet networks for tests: files with random weights, and what Darknet computes from them, in plain numpy loops."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class DarknetNet:
    """Grows layer by layer; ``text`` and ``numbers`` are the files, ``run`` is the answer, written independently."""

    shape: tuple[int, ...]
    rng: np.random.Generator
    transposed: bool = False
    text: list[str] = field(default_factory=list)
    numbers: list[np.ndarray] = field(default_factory=list)
    steps: list = field(default_factory=list)

    def __post_init__(self) -> None:
        channels, height, width = self.shape
        self.text.append(f"[net]\nbatch=1\nchannels={channels}\nheight = {height}\nwidth={width}\n# a comment\n")

    def _draw(self, *shape: int) -> np.ndarray:
        array = (self.rng.standard_normal(shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))).astype(np.float32)
        self.numbers.append(array)
        return array

    def _normalised(self, count: int, weights: np.ndarray, scales, mean, variance) -> tuple[np.ndarray, np.ndarray]:
        factor = scales.astype(np.float64) / (np.sqrt(variance.astype(np.float64)) + 1e-6)
        return weights * factor.reshape(-1, *[1] * (weights.ndim - 1)), -mean * factor

    def _statistics(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scales, mean = self._draw(count), self._draw(count)
        variance = np.abs(self._draw(count)) + np.float32(0.5)
        self.numbers[-1] = variance
        return scales, mean, variance

    def conv(self, filters: int, size: int, stride: int, pad: int, activation: str, normalise: bool, groups: int = 1):  # noqa: PLR0917
        channels, height, width = self.shape
        options = (
            f"filters={filters}\nsize={size}\nstride={stride}\npad={pad}\ngroups={groups}\nactivation={activation}"
        )
        self.text.append(f"[convolutional]\nbatch_normalize={int(normalise)}\n{options}\n")
        bias = self._draw(filters).astype(np.float64)
        statistics = self._statistics(filters) if normalise else None
        weights = self._draw(filters, channels // groups, size, size).astype(np.float64)
        if statistics is not None:
            weights, shift = self._normalised(filters, weights, *statistics)
            bias = bias + shift
        border = size // 2 if pad else 0
        out = [(extent + 2 * border - size) // stride + 1 for extent in (height, width)]

        def step(x: np.ndarray) -> np.ndarray:
            padded = np.pad(x, ((0, 0), (border, border), (border, border)))
            y = np.zeros((filters, *out))
            for f in range(filters):
                group = slice(f // (filters // groups) * (channels // groups), None)
                for i in range(out[0]):
                    for j in range(out[1]):
                        window = padded[group, i * stride : i * stride + size, j * stride : j * stride + size]
                        y[f, i, j] = (window[: channels // groups] * weights[f]).sum() + bias[f]
            return _activate(y, activation)

        self.steps.append(step)
        self.shape = (filters, *out)

    def maxpool(self, size: int, stride: int):
        self.text.append(f"[maxpool]\nsize={size}\nstride={stride}\n")
        channels, height, width = self.shape
        out = [(extent - 1) // stride + 1 for extent in (height, width)]
        first = (size - 1) // 2

        def step(x: np.ndarray) -> np.ndarray:
            y = np.full((channels, *out), -np.inf)
            for i in range(out[0]):
                for j in range(out[1]):
                    top, left = i * stride - first, j * stride - first
                    window = x[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)]
                    y[:, i, j] = window.reshape(channels, -1).max(axis=1)
            return y

        self.steps.append(step)
        self.shape = (channels, *out)

    def connected(self, outputs: int, activation: str, normalise: bool = False):
        inputs = int(np.prod(self.shape))
        self.text.append(f"[connected]\noutput= {outputs}\nactivation={activation}\nbatch_normalize={int(normalise)}\n")
        bias = self._draw(outputs).astype(np.float64)
        weights = self._draw(outputs, inputs)
        if self.transposed:
            self.numbers[-1] = np.ascontiguousarray(weights.T)
        weights = weights.astype(np.float64)
        if normalise:
            weights, shift = self._normalised(outputs, weights, *self._statistics(outputs))
            bias = bias + shift
        self.steps.append(lambda x: _activate(weights @ x.reshape(-1) + bias, activation))
        self.shape = (outputs,)

    def passing(self, kind: str):
        self.text.append(f"[{kind}]\n")
        self.steps.append(lambda x: x)

    def softmax(self, temperature: float = 1.0):
        self.text.append(f"[softmax]\ngroups=1\ntemperature={temperature}\n")

        def step(x: np.ndarray) -> np.ndarray:
            powers = np.exp((x.reshape(-1) - x.max()) / temperature)
            return powers / powers.sum()

        self.steps.append(step)
        self.shape = (int(np.prod(self.shape)),)

    def run(self, x: np.ndarray) -> np.ndarray:
        """x: (channels, height, width)."""
        for step in self.steps:
            x = step(x)
        return x

    def save(self, folder: Path, name: str = "net") -> Path:
        """Write both files and return the .cfg's path."""
        version = (1001, 0, 0) if self.transposed else (0, 2, 0)
        header = struct.pack("<iii", *version) + struct.pack("<i" if self.transposed else "<q", 64)
        (folder / f"{name}.weights").write_bytes(header + b"".join(a.astype("<f4").tobytes() for a in self.numbers))
        (folder / f"{name}.cfg").write_text("\n".join(self.text))
        return folder / f"{name}.cfg"


def _activate(x: np.ndarray, name: str) -> np.ndarray:
    return {
        "linear": lambda: x,
        "relu": lambda: np.maximum(x, 0),
        "leaky": lambda: np.where(x > 0, x, 0.1 * x),
        "logistic": lambda: 1 / (1 + np.exp(-x)),
        "tanh": lambda: np.tanh(x),
        "elu": lambda: np.where(x >= 0, x, np.expm1(x)),
    }[name]()


def lenet(rng: np.random.Generator, side: int = 28, channels: int = 1) -> DarknetNet:
    """The eleven layers of S0: convolution, max-pool, twice, then connected, dropout, connected, dropout, connected,
    softmax, cost."""
    net = DarknetNet((channels, side, side), rng)
    for _ in range(2):
        net.conv(6, 5, 1, 1, "relu", False)
        net.maxpool(2, 2)
    for outputs in (120, 84):
        net.connected(outputs, "relu")
        net.passing("dropout")
    net.connected(10, "linear")
    net.softmax()
    net.passing("cost")
    return net
