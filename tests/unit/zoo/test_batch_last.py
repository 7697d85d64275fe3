"""The batch-last training pass is the module's own, and the polynomial's derivative is the derivative."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.zoo import networks
from kakuri.zoo.training.batch_last import EPSILON, training_forward


@pytest.mark.parametrize("activation", ["square", "swish-rg7-deg4", "relu"])
@pytest.mark.parametrize("batch_innermost", [True, False])
def test_it_computes_what_the_module_computes(activation: str, batch_innermost: bool) -> None:
    """Logits, every gradient, running statistics, and the values that activations see."""
    torch.manual_seed(0)
    own = networks.three_layer_cnn(activation, 7)
    with torch.no_grad():
        for norm in (own.bn1, own.bn2):
            norm.weight.uniform_(0.5, 2.0)
            norm.bias.normal_()
            norm.running_mean.normal_()
    other, seen = copy.deepcopy(own), {"own": [], "other": []}
    for name, module in (("own", own), ("other", other)):
        for part in (module.act1, module.act2):
            part.register_forward_pre_hook(lambda _, inputs, name=name: seen[name].append(inputs[0].detach()))
    images, labels = torch.rand(12, 1, 28, 28), torch.arange(12) % 10
    stored = images.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2) if batch_innermost else images
    expected, found = own(images), training_forward(other, stored)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    for logits in (expected, found):
        torch.nn.functional.cross_entropy(logits, labels).backward()
    for (name, one), two in zip(own.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, atol=2e-5, rtol=1e-3, msg=name)
    for (name, one), two in zip(own.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-4, msg=name)
    for one, two in zip(seen["own"], seen["other"], strict=True):
        torch.testing.assert_close(two.permute(3, 0, 1, 2), one, atol=1e-4, rtol=1e-4)


def test_epsilon_is_the_networks() -> None:
    module = networks.three_layer_cnn()
    assert module.bn1.eps == module.bn2.eps == EPSILON


def test_other_networks_go_through_their_own_forward_pass() -> None:
    torch.manual_seed(0)
    module, images = networks.four_layer_cnn("square", 4), torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(training_forward(module, images), copy.deepcopy(module)(images), atol=1e-5, rtol=1e-4)


coefficients = st.lists(st.sampled_from([0.0, 0.5, -1.25, 2.0]), min_size=1, max_size=5)


@settings(deadline=None)
@given(coefficients, st.sampled_from([1.0, -0.3]))
def test_the_trained_polynomial_and_its_derivative(lower: list[float], leading: float) -> None:
    """Against numpy-style evaluation in float64 and finite differences; evaluation mode gives the same value."""
    polynomial = networks.Polynomial((*lower, leading)).double()
    x = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    value = polynomial(x)
    expected = sum(c * x.detach() ** power for power, c in enumerate((*lower, leading)))
    torch.testing.assert_close(value.detach(), expected)
    torch.testing.assert_close(polynomial.eval()(x).detach(), expected)
    polynomial.train()
    assert torch.autograd.gradcheck(polynomial, (x,))
