"""The fast training passes are the modules' own, and the polynomial's derivative is the derivative."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.zoo import networks
from kakuri.zoo.training.forward import _any, training_forward

SHAPES = {"three": (1, 28, 28), "four": (3, 32, 32)}


def made(kind: str, activation: str) -> torch.nn.Module:
    """A small network whose normalisation is not the initial one."""
    torch.manual_seed(0)
    make = networks.three_layer_cnn if kind == "three" else networks.four_layer_cnn
    module = make(activation, 7)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.weight.uniform_(0.5, 2.0)
                part.bias.normal_()
                part.running_mean.normal_()
    return module


@pytest.mark.parametrize("limit", [None, 0.7])
@pytest.mark.parametrize("activation", ["square", "swish-rg7-deg4", "relu"])
@pytest.mark.parametrize("kind", ["three", "four"])
def test_it_computes_what_the_module_computes(kind: str, activation: str, limit: float | None) -> None:
    """Logits, excess, every gradient and the running statistics, against autograd through the module's own layers."""
    own = made(kind, activation)
    for part in (own.act1, own.act2, getattr(own, "act3", None)):
        if isinstance(part, networks.Polynomial):
            part.radius = None
    other = copy.deepcopy(own)
    images, labels = torch.rand(10, *SHAPES[kind]), torch.arange(10)
    (expected, expected_excess), (found, excess) = _any(own, images, limit), training_forward(other, images, limit)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(excess, expected_excess, atol=1e-5, rtol=1e-4)
    assert (float(excess.detach()) > 0.1) == (limit is not None)
    for logits, over in ((expected, expected_excess), (found, excess)):
        (torch.nn.functional.cross_entropy(logits, labels) + 0.3 * over).backward()
    for (name, one), two in zip(own.named_parameters(), other.parameters(), strict=True):
        scale = float(one.grad.abs().max())
        torch.testing.assert_close(two.grad, one.grad, atol=2e-5 + 1e-3 * scale, rtol=1e-3, msg=name)
    for (name, one), two in zip(own.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-4, msg=name)


def test_an_activations_own_range_counts_before_the_limit() -> None:
    """swish-rg5-deg2 has 5; a limit of 0.1 for others changes nothing."""
    images = torch.rand(4, 1, 28, 28)
    one, two = (training_forward(made("three", "swish-rg5-deg2"), images, limit)[1] for limit in (0.1, 100.0))
    assert float(one.detach()) == float(two.detach())


def test_hooks_do_not_stay() -> None:
    module = made("three", "relu")
    _any(module, torch.rand(2, 1, 28, 28), 1.0)
    assert not any(part._forward_pre_hooks for part in module.modules())


coefficients = st.lists(st.sampled_from([0.0, 0.5, -1.25, 2.0]), min_size=1, max_size=5)


@settings(deadline=None)
@given(coefficients, st.sampled_from([1.0, -0.3]))
def test_the_trained_polynomial_and_its_derivative(lower: list[float], leading: float) -> None:
    """Value by powers in float64, derivative by finite differences; evaluation mode gives the same value."""
    polynomial = networks.Polynomial((*lower, leading)).double()
    x = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    value = polynomial(x)
    expected = sum(c * x.detach() ** power for power, c in enumerate((*lower, leading)))
    torch.testing.assert_close(value.detach(), expected)
    torch.testing.assert_close(polynomial.eval()(x).detach(), expected)
    polynomial.train()
    assert torch.autograd.gradcheck(polynomial, (x,))


@pytest.mark.slow
def test_the_compiled_pass_is_the_same_pass() -> None:
    """Slow: the compiler takes a minute."""
    own = made("four", "square")
    other = copy.deepcopy(own)
    images = torch.rand(10, 3, 32, 32)
    (expected, one), (found, two) = (
        training_forward(own, images, 1.0),
        training_forward(other, images, 1.0, compiled=True),
    )
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-4)
    for logits, excess in ((expected, one), (found, two)):
        (logits.square().sum() + excess).backward()
    for one, two in zip(own.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, atol=1e-3 * float(one.grad.abs().max()) + 1e-6, rtol=1e-3)
    for one, two in zip(own.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-4)
