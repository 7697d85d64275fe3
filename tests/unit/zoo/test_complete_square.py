"""Completing the square changes no answer where nothing is padded, and says so where it cannot be done."""

from __future__ import annotations

import pytest
import torch

from kakuri.errors import KakuriError
from kakuri.zoo import networks
from kakuri.zoo.training import completed_square, largest_activation_inputs


def trained_a_little(module: torch.nn.Module, *shape: int) -> torch.nn.Module:
    """Running statistics that are not the initial ones."""
    for _ in range(3):
        module(torch.rand(32, *shape))
    return module.eval()


@pytest.mark.parametrize("activation", ["swish-rg5-deg2", "relu-rg7-deg2", "square"])
@pytest.mark.parametrize("scale", [0.6, 1.7])
def test_the_three_layer_cnn_answers_the_same(activation: str, scale: float) -> None:
    torch.manual_seed(1)
    module = trained_a_little(networks.three_layer_cnn(activation, 9), 1, 28, 28)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    squared = completed_square(module, scale)
    assert squared.act1.coefficients == squared.act2.coefficients == (0.0, 0.0, 1.0)
    assert not squared.training
    images = torch.rand(40, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(squared(images), module(images), atol=1e-4, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_inputs_in_the_fitted_range_stay_below_five() -> None:
    """(5 + 2.5) * 0.6 = 4.5 is the most that an input of magnitude 5 becomes."""
    torch.manual_seed(1)
    module = trained_a_little(networks.three_layer_cnn("swish-rg5-deg2"), 1, 28, 28)
    images = torch.randint(0, 256, (50, 1, 28, 28), dtype=torch.uint8).numpy()
    one, two = largest_activation_inputs(module, images), largest_activation_inputs(completed_square(module), images)
    assert all(two[name] <= (one[name] + 2.5) * 0.6 + 1e-4 for name in one)


def test_the_four_layer_cnn_differs_only_by_the_border() -> None:
    """Without padding in conv2 and conv3 it would be exact: there it is, with the padding taken out of both."""
    torch.manual_seed(1)
    module = trained_a_little(networks.four_layer_cnn("swish-rg5-deg2", 6), 3, 32, 32)
    squared, images = completed_square(module), torch.rand(8, 3, 32, 32)
    with torch.no_grad():
        assert (squared(images) - module(images)).abs().max() > 1e-3
        for network in (module, squared):
            network.conv2.padding = network.conv3.padding = (0, 0)
            network.gap = torch.nn.AdaptiveAvgPool2d(1)
        torch.testing.assert_close(squared(images), module(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "swish-rg7-deg4"])
def test_other_degrees_are_refused(activation: str) -> None:
    with pytest.raises(KakuriError) as refused:
        completed_square(networks.three_layer_cnn(activation))
    assert refused.value.code == "KK-Z04"
