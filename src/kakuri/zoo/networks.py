"""Networks of the source documents as torch modules.

Purpose: the 3layer-CNN and 4layer-CNN of S4 with any of its eleven activations, and the larger ReLU network whose
answers the small ones are trained to give.
Guarantees: parameter counts are the document's (14,550 / 11,670 / 9,366 and 94,986 / 86,328 / 77,670 / 67,569), which
count weights and biases of convolution, batch normalisation and linear layers, not running statistics; sub-modules
carry the layer's name (``conv1``, ``bn1``, ``act1`` ...), from which `training.export` names the ONNX nodes.
Does not guarantee: that a polynomial activation meets only inputs from its fitted range; training penalises the rest.
Source: S4, tables 5.1 to 5.3 and section 5.2. Table 5.1's "144,550" is 14,550 and table 5.2's layer of 256 units is a
leftover of an older network: the printed counts follow from the layers without it.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from kakuri.errors import KakuriError
from kakuri.model.polynomials import document_activation
from kakuri.zoo._extras import missing_torch

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError as error:  # pragma: no cover - needs an environment without torch
    raise missing_torch("kakuri.zoo.networks") from error

#: The eleven activations of table 5.5, in its order.
ACTIVATIONS = (
    "relu",
    "swish",
    "square",
    "relu-rg5-deg2",
    "relu-rg7-deg2",
    "relu-rg5-deg4",
    "relu-rg7-deg4",
    "swish-rg5-deg2",
    "swish-rg7-deg2",
    "swish-rg5-deg4",
    "swish-rg7-deg4",
)

_RANGE = re.compile(r"-rg([0-9]+)-deg[0-9]+$")


class Polynomial(nn.Module):
    """A fixed polynomial, evaluated by Horner's rule element by element.

    coefficients: ascending, ``c[0] + c[1] x + ...``, at least degree 1; constants of the network, not parameters.
    radius: half-width of the range the polynomial was fitted on, or None where there is no such range.
    Raises KK-Z02 for fewer than two coefficients or a leading zero.
    """

    def __init__(self, coefficients: tuple[float, ...], radius: float | None = None) -> None:
        super().__init__()
        if len(coefficients) < 2 or coefficients[-1] == 0.0:
            raise KakuriError(
                "KK-Z02",
                "a polynomial activation needs degree 1 or more and a leading coefficient that is not zero",
                got=coefficients,
            )
        self.coefficients = tuple(float(c) for c in coefficients)
        self.radius = radius

    def forward(self, x: Tensor) -> Tensor:
        """x: float tensor of any shape; the same shape and dtype comes back."""
        if self.training and torch.is_grad_enabled():
            trained: Tensor = _TrainedPolynomial.apply(x, self.coefficients)  # type: ignore[no-untyped-call]
            return trained
        *lower, leading = self.coefficients
        value = x if leading == 1.0 else leading * x
        for c in reversed(lower[1:]):
            value = (value + c) * x if c else value * x
        return value + lower[0] if lower[0] else value

    def extra_repr(self) -> str:
        return f"coefficients={self.coefficients}, radius={self.radius}"


class _TrainedPolynomial(torch.autograd.Function):
    """The same value with its derivative by Horner's rule, in place: half the passes over memory of recorded steps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.derivative = tuple(power * c for power, c in enumerate(coefficients))[1:]
        return horner(x, coefficients)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return horner(x, ctx.derivative).mul_(gradients[0]), None


def horner(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """sum of coefficients[i] x^i, in one new tensor. At least one coefficient."""
    if len(coefficients) == 1:
        return torch.full_like(x, coefficients[0])
    *lower, leading = coefficients
    value = x * leading
    for c in reversed(lower[1:]):
        if c:
            value += c
        value *= x
    return value.add_(lower[0]) if lower[0] else value


def activation(name: str) -> nn.Module:
    """``relu``, ``swish``, ``square`` or a polynomial's name such as ``swish-rg5-deg2``. Raises KK-M21 otherwise."""
    if name == "relu":
        return nn.ReLU()
    if name == "swish":
        return nn.SiLU()
    fitted = _RANGE.search(name)
    return Polynomial(document_activation(name), float(fitted[1]) if fitted else None)


class ThreeLayerCNN(nn.Module):
    """S4's 3layer-CNN (table 5.1): float32 images (n, 1, 28, 28) in, logits (n, 10) out."""

    def __init__(self, activation_name: str, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 5, 5, stride=2)
        self.bn1 = nn.BatchNorm2d(5)
        self.act1 = activation(activation_name)
        self.conv2 = nn.Conv2d(5, channels, 5, stride=2)
        self.bn2 = nn.BatchNorm2d(channels)
        self.act2 = activation(activation_name)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels * 4 * 4, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.act1(self.bn1(self.conv1(image)))
        x = self.act2(self.bn2(self.conv2(x)))
        logits: Tensor = self.fc(self.flatten(x))
        return logits


class FourLayerCNN(nn.Module):
    """S4's 4layer-CNN (table 5.2): float32 images (n, 3, 32, 32) in, logits (n, 10) out."""

    def __init__(self, activation_name: str, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(32)
        self.act1 = activation(activation_name)
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(32, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.act2 = activation(activation_name)
        self.pool2 = nn.AvgPool2d(2)
        self.conv3 = nn.Conv2d(channels, 128, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(128)
        self.act3 = activation(activation_name)
        self.pool3 = nn.AvgPool2d(2)
        self.gap = nn.AvgPool2d(4)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(128, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.pool1(self.act1(self.bn1(self.conv1(image))))
        x = self.pool2(self.act2(self.bn2(self.conv2(x))))
        x = self.pool3(self.act3(self.bn3(self.conv3(x))))
        logits: Tensor = self.fc(self.flatten(self.gap(x)))
        return logits


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, a 1x1 convolution where shapes differ; activation after the sum."""

    def __init__(self, activation_name: str, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act1 = activation(activation_name)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride=stride)
        self.act2 = activation(activation_name)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        result: Tensor = self.act2(inner + self.shortcut(x))
        return result


class ResNet8(nn.Module):
    """A residual network of eight layers that count: float32 images (n, 3, 32, 32) in, logits (n, 10) out."""

    def __init__(self, activation_name: str, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = activation(activation_name)
        self.block1 = ResidualBlock(activation_name, channels, channels, 1)
        self.block2 = ResidualBlock(activation_name, channels, 2 * channels, 2)
        self.block3 = ResidualBlock(activation_name, 2 * channels, 4 * channels, 2)
        self.gap = nn.AvgPool2d(8)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(4 * channels, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.block1(self.act1(self.bn1(self.conv1(image))))
        logits: Tensor = self.fc(self.flatten(self.gap(self.block3(self.block2(x)))))
        return logits


class MnistTeacher(nn.Module):
    """A ReLU network of about 77 thousand parameters, used only in training: (n, 1, 28, 28) in, logits (n, 10) out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(1, width, kernel=5, stride=2, padding=2),
            *_block(width, 2 * width, kernel=3, padding=1),
            nn.MaxPool2d(2),
            *_block(2 * width, 4 * width, kernel=3, padding=1),
            *_block(4 * width, 4 * width, kernel=3),
        )
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(4 * width * 5 * 5, 10)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.dropout(torch.flatten(self.features(image), 1)))
        return logits


def _block(inputs: int, outputs: int, *, kernel: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def three_layer_cnn(activation: str = "square", channels: int = 50) -> ThreeLayerCNN:
    """The 3layer-CNN; channels: filters of ``conv2``, 50 in the document and 40 or 32 after its pruning rounds."""
    return ThreeLayerCNN(activation, _checked_channels(channels))


def four_layer_cnn(activation: str = "square", channels: int = 64) -> FourLayerCNN:
    """The 4layer-CNN; channels: filters of ``conv2``, 64 in the document and 58, 52 or 45 after pruning."""
    return FourLayerCNN(activation, _checked_channels(channels))


def resnet8(activation: str = "swish-rg5-deg2", channels: int = 16) -> ResNet8:
    """The residual network of MLPerf Tiny's size; channels: filters of ``conv1``. No weights are shipped."""
    return ResNet8(activation, _checked_channels(channels))


def mnist_teacher(width: int = 16) -> MnistTeacher:
    """The network whose answers `three_layer_cnn` learns from; width: filters of the first layer."""
    return MnistTeacher(_checked_channels(width))


def parameter_count(module: nn.Module) -> int:
    """Number of trainable scalars: weights and biases, batch normalisation's included, running statistics not."""
    return sum(p.numel() for p in module.parameters())


def _checked_channels(channels: int) -> int:
    if not 1 <= channels <= 4096:
        raise KakuriError("KK-Z03", "number of filters out of range", where="channels", got=channels, limit="1 to 4096")
    return channels


Architecture = Literal["3layer-CNN", "4layer-CNN"]
