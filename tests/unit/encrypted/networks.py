"""Networks for the compiler's tests, and what they should answer (PyTorch, in float64)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from kakuri.encrypted.network import Convolution, Dense, Flatten, Layer, Network, Polynomial, Pool, Sum

Shape = tuple[int, ...]


class Chain:
    """Grows a network layer by layer; random weights of unit gain."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.layers: list[Layer] = []
        self.shape, self.input_shape, self.last = shape, shape, "x"

    def _weights(self, *shape: int) -> NDArray[np.float64]:
        return self.random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))

    def _add(self, kind: type[Layer], shape: Shape, inputs: tuple[str, ...] | None = None, **settings: object) -> Chain:
        name = f"{kind.__name__.lower()}{len(self.layers)}"
        self.layers.append(kind(name, inputs or (self.last,), f"{name}:0", shape, **settings))
        self.shape, self.last = shape, f"{name}:0"
        return self

    def conv(self, channels: int, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> Chain:
        c, h, w = self.shape
        reach = dilation * (kernel - 1) + 1
        size = tuple((d + 2 * pad - reach) // stride + 1 for d in (h, w))
        return self._add(
            Convolution,
            (channels, *size),
            weight=self._weights(channels, c, kernel, kernel),
            bias=self.random.normal(size=channels),
            strides=(stride, stride),
            pads=(pad,) * 4,
            dilations=(dilation, dilation),
        )

    def pool(self, kernel: int, stride: int | None = None, pad: int = 0, divisor: float = 1.0) -> Chain:
        c, h, w = self.shape
        step = stride or kernel
        size = tuple((d + 2 * pad - kernel) // step + 1 for d in (h, w))
        settings = {"kernel": (kernel, kernel), "strides": (step, step), "pads": (pad,) * 4, "divisor": divisor}
        return self._add(Pool, (c, *size), **settings)

    def poly(self, *coefficients: float) -> Chain:
        return self._add(Polynomial, self.shape, coefficients=tuple(coefficients))

    def flatten(self) -> Chain:
        return self._add(Flatten, (int(np.prod(self.shape)),))

    def dense(self, outputs: int) -> Chain:
        return self._add(
            Dense, (outputs,), weight=self._weights(outputs, self.shape[0]), bias=self.random.normal(size=outputs)
        )

    def plus(self, other: str) -> Chain:
        return self._add(Sum, self.shape, inputs=(self.last, other))

    def network(self) -> Network:
        return Network("x", self.input_shape, self.last, self.shape, tuple(self.layers))


def answer(network: Network, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x: (b, *input_shape)."""
    values = {network.input_name: torch.from_numpy(x)}
    for layer in network.layers:
        a = values[layer.inputs[0]]
        match layer:
            case Convolution():
                weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
                y = F.conv2d(a, weight, bias, layer.strides, layer.pads[:2], layer.dilations)
            case Dense():
                y = F.linear(a, torch.from_numpy(layer.weight), torch.from_numpy(layer.bias))
            case Pool():
                average = F.avg_pool2d(a, layer.kernel, layer.strides, layer.pads[:2])
                y = average * float(np.prod(layer.kernel)) / layer.divisor
            case Polynomial():
                y = torch.zeros_like(a)
                for coefficient in reversed(layer.coefficients):
                    y = y * a + coefficient
            case Sum():
                y = a + values[layer.inputs[1]]
            case _:
                y = a.flatten(1)
        values[layer.output] = y
    return values[network.output_name].numpy()


def three_layer_cnn(coefficients: tuple[float, ...], channels: int = 50) -> Network:
    net = Chain((1, 28, 28)).conv(5, 5, stride=2).poly(*coefficients).conv(channels, 5, stride=2).poly(*coefficients)
    return net.flatten().dense(10).network()


def four_layer_cnn(coefficients: tuple[float, ...], channels: int = 64) -> Network:
    net = Chain((3, 32, 32))
    for width in (32, channels, 128):
        net = net.conv(width, 3, pad=1).poly(*coefficients).pool(2)
    return net.pool(4).flatten().dense(10).network()
