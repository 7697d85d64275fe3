"""Networks: the document's parameter counts, the polynomial's value, shapes and names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kakuri.errors import KakuriError
from kakuri.zoo import networks


@pytest.mark.parametrize(("channels", "printed"), [(50, 14_550), (40, 11_670), (32, 9_366)])
def test_three_layer_parameters_are_the_documents(channels: int, printed: int) -> None:
    for name in networks.ACTIVATIONS:
        assert networks.parameter_count(networks.three_layer_cnn(name, channels)) == printed


@pytest.mark.parametrize(("channels", "printed"), [(64, 94_986), (58, 86_328), (52, 77_670), (45, 67_569)])
def test_four_layer_parameters_are_the_documents(channels: int, printed: int) -> None:
    for name in networks.ACTIVATIONS:
        assert networks.parameter_count(networks.four_layer_cnn(name, channels)) == printed


def test_layers_have_the_documents_sizes() -> None:
    """Output sizes of tables 5.1 and 5.2."""
    sizes: dict[str, tuple[int, ...]] = {}
    three, four = networks.three_layer_cnn("relu"), networks.four_layer_cnn("square")
    for prefix, module in (("3.", three), ("4.", four)):
        for name, part in module.named_children():
            part.register_forward_hook(
                lambda _, __, output, key=prefix + name: sizes.update({key: tuple(output.shape[1:])})
            )
    three(torch.zeros(2, 1, 28, 28))
    four(torch.zeros(2, 3, 32, 32))
    assert sizes["3.act1"] == (5, 12, 12)
    assert sizes["3.act2"] == (50, 4, 4)
    assert sizes["3.fc"] == (10,)
    assert sizes["4.act1"] == (32, 32, 32)
    assert sizes["4.pool1"] == (32, 16, 16)
    assert sizes["4.pool2"] == (64, 8, 8)
    assert sizes["4.pool3"] == (128, 4, 4)
    assert sizes["4.gap"] == (128, 1, 1)
    assert sizes["4.fc"] == (10,)


coefficient = st.floats(-4, 4, allow_subnormal=False)


@given(st.lists(coefficient, min_size=1, max_size=6), coefficient.filter(bool), st.floats(-3, 3))
def test_polynomial_is_its_coefficients(lower: list[float], leading: float, x: float) -> None:
    coefficients = (*lower, leading)
    ours = networks.Polynomial(coefficients)(torch.tensor([x], dtype=torch.float64)).item()
    powers = [c * x**power for power, c in enumerate(coefficients)]
    assert ours == pytest.approx(sum(powers), abs=1e-12 * (1 + sum(map(abs, powers))))


def test_square_is_one_multiplication() -> None:
    """No coefficient may turn x * x into more work under encryption."""
    x = torch.randn(1000)
    assert torch.equal(networks.activation("square")(x), x * x)


def test_named_polynomial_is_the_printed_one() -> None:
    """Table 5.3: swish-rg7-deg4 is -0.001328 x^4 + 0.128 x^2 + 0.5 x + 0.1773."""
    x = np.linspace(-7, 7, 57)
    ours = networks.activation("swish-rg7-deg4")(torch.from_numpy(x)).numpy()
    printed = np.polynomial.polynomial.polyval(x, [0.1773, 0.5, 0.128, 0, -0.001328])
    assert np.abs(ours - printed).max() < 0.5e-4 + 0.5e-3 * 49 + 0.5e-6 * 7**4
    assert networks.activation("swish-rg7-deg4").radius == 7.0


def test_swish_and_relu_are_exact() -> None:
    x = torch.linspace(-8, 8, 33)
    assert torch.equal(networks.activation("relu")(x), x.clamp(min=0))
    torch.testing.assert_close(networks.activation("swish")(x), x / (1 + torch.exp(-x)))


def test_refusals() -> None:
    with pytest.raises(KakuriError) as unknown:
        networks.three_layer_cnn("tanh")
    assert unknown.value.code == "KK-M21"
    for make in (networks.three_layer_cnn, networks.four_layer_cnn):
        with pytest.raises(KakuriError) as refused:
            make("square", channels=0)
        assert refused.value.code == "KK-Z03"
    for bad in ((), (1.0,), (1.0, 2.0, 0.0)):
        with pytest.raises(KakuriError) as refused:
            networks.Polynomial(bad)
        assert refused.value.code == "KK-Z02"


@pytest.mark.parametrize("width", [4, 16])
def test_the_residual_network_halves_and_doubles(width: int) -> None:
    """Stages of 32, 16 and 8 pixels; without its shortcuts the answers are others."""
    torch.manual_seed(0)
    module = networks.resnet8("square", width).eval()
    sizes = [tuple(module.blocks[:n](torch.zeros(2, width, 32, 32)).shape[1:]) for n in (1, 2, 3)]
    assert sizes == [(width, 32, 32), (2 * width, 16, 16), (4 * width, 8, 8)]
    images = torch.rand(2, 3, 32, 32)
    before = module(images)
    assert before.shape == (2, 10)
    with torch.no_grad():
        module.blocks[1].shortcut.weight.zero_()
    assert not torch.allclose(before, module(images))
