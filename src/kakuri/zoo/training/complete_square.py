"""A network with a quadratic activation as the same network with the plain square.

Purpose: c2 x^2 + c1 x + c0 = c2 (u / s)^2 + d with u = s (x + c1 / (2 c2)) and d = c0 - c1^2 / (4 c2). The scale s and
the shift go into the batch normalisation before the activation, the factor c2 / s^2 and d into the layer after it.
Guarantees: the 3layer-CNN gives the same logits in evaluation mode, up to rounding; the given module is left alone.
Does not guarantee: the same logits for the 4layer-CNN, whose convolutions pad with zeros, so that d is missing at the
border; there the result is where fine-tuning begins.
"""

from __future__ import annotations

from torch import nn

from kakuri.errors import KakuriError
from kakuri.zoo.networks import FourLayerCNN, Polynomial, ThreeLayerCNN, four_layer_cnn, three_layer_cnn


def completed_square(module: ThreeLayerCNN | FourLayerCNN, scale: float = 0.6) -> ThreeLayerCNN | FourLayerCNN:
    """A new network with ``square``. scale: s; 0.6 keeps inputs below 5 where those of swish-rg5-deg2 were.

    Raises KK-Z04 when an activation is not a polynomial of degree 2.
    """
    fresh = three_layer_cnn if isinstance(module, ThreeLayerCNN) else four_layer_cnn
    found = fresh("square", module.conv2.out_channels)
    state = module.state_dict()
    for number in range(1, 4 if isinstance(module, FourLayerCNN) else 3):
        c0, c1, c2 = _quadratic(module.get_submodule(f"act{number}"))
        norm, following = f"bn{number}", f"conv{number + 1}" if hasattr(module, f"conv{number + 1}") else "fc"
        weight = state[f"{following}.weight"]
        state[f"{norm}.weight"] = state[f"{norm}.weight"] * scale
        state[f"{norm}.bias"] = (state[f"{norm}.bias"] + c1 / (2 * c2)) * scale
        constant = (c0 - c1 * c1 / (4 * c2)) * weight.flatten(1).sum(1)
        state[f"{following}.bias"] = state[f"{following}.bias"] + constant
        state[f"{following}.weight"] = weight * (c2 / scale**2)
    found.load_state_dict(state)
    return found.train(module.training)


def _quadratic(activation: nn.Module) -> tuple[float, float, float]:
    coefficients = activation.coefficients if isinstance(activation, Polynomial) else ()
    if len(coefficients) != 3:
        what = "completing the square needs an activation of degree 2"
        raise KakuriError("KK-Z04", what, got=activation, limit="degree 2")
    return coefficients
