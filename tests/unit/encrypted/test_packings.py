"""Packed programs in the clear answer what PyTorch answers, for random networks of every shape the packings accept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.encrypted.packings.channel_wise import place_side_by_side
from kakuri.encrypted.packings.registry import packing
from kakuri.errors import KakuriError
from tests.unit.encrypted.networks import Chain, answer, four_layer_cnn, three_layer_cnn
from tests.unit.encrypted.simulate import compiled, run

TOLERANCE = 2e-3  # weights and masks are rounded to about 19 bits on the probe chain


def agree(network, name, samples=1, slots=8192):
    x = np.random.default_rng(1).uniform(-1, 1, size=(samples, *network.input_shape))
    expected = answer(network, x)
    got = run(network, name, x, slots)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=TOLERANCE * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("name", ["channel", "batch", "multiplexed"])
def test_document_network(name):
    agree(three_layer_cnn((0.1, 0.5, 1.0)), name, samples=3 if name == "batch" else 1)


@pytest.mark.parametrize("name", ["channel", "multiplexed"])
def test_document_cifar_network(name):
    agree(four_layer_cnn((0.0, 0.0, 1.0)), name)


@pytest.mark.parametrize("name", ["channel", "batch", "multiplexed"])
def test_padding_after_a_pool_that_leaves_a_rest_reads_zeros(name):
    """7 x 7 pooled by 2: the seventh row and column stand where the next layer's padding reads."""
    agree(Chain((1, 7, 7), seed=0).pool(2, 2, divisor=1.0).conv(1, 2, 1, 1, 2).network(), name)


@st.composite
def networks(draw):
    """Convolutions with strides, padding and dilation, pools that overlap or not, polynomials, a residual, a head."""
    size = draw(st.integers(6, 12))
    net = Chain((draw(st.integers(1, 3)), size, size), seed=draw(st.integers(0, 99)))
    for _ in range(draw(st.integers(1, 3))):
        side = min(net.shape[1:])
        kernel = draw(st.integers(1, min(3, side)))
        dilation = draw(st.integers(1, 2)) if 2 * (kernel - 1) < side else 1
        pad = draw(st.integers(0, dilation * (kernel - 1) // 2))
        net.conv(draw(st.integers(1, 3)), kernel, draw(st.integers(1, 2)), pad, dilation)
        if draw(st.booleans()):
            net.poly(*draw(st.sampled_from([(0.0, 0.0, 1.0), (0.2, 0.5, -1.0), (0.1, 0.5, 0.3), (0.0, 1.0, 0.2, 1.0)])))
        side = min(net.shape[1:])
        if side >= 2 and draw(st.booleans()):
            overlapping = side >= 3 and draw(st.booleans())
            net.pool(3 if overlapping else 2, 1 if overlapping else 2, divisor=draw(st.sampled_from([1.0, 4.0])))
        if draw(st.booleans()):
            skip, channels = net.last, net.shape[0]
            net.conv(channels, 1).plus(skip)
    if draw(st.booleans()):
        net.flatten().dense(draw(st.integers(1, 4)))
        if draw(st.booleans()):
            net.poly(0.1, 0.4, 0.2).dense(2)
    return net.network()


@settings(max_examples=60, deadline=None)
@given(networks(), st.sampled_from(["channel", "batch", "multiplexed", "multiplexed"]))
def test_random_networks(network, name):
    agree(network, name, samples=2 if name == "batch" else 1, slots=1024)


def test_degree_three_without_unit_leading_coefficient():
    agree(Chain((1, 4, 4)).conv(2, 3, pad=1).poly(0.1, 0.2, 0.3, 0.4).flatten().dense(3).network(), "channel")


def test_residual_branches_of_different_depth():
    net = Chain((2, 6, 6)).conv(2, 3, pad=1)
    skip = net.last
    network = net.conv(2, 3, pad=1).poly(0.0, 0.5, 1.0).conv(2, 3, pad=1).plus(skip).poly(0.0, 0.0, 1.0).network()
    for name in ("channel", "batch", "multiplexed"):
        agree(network, name)


def test_padding_after_an_overlapping_pool_reads_zeros():
    """The gutter is dirty after a pool whose windows overlap; a padded convolution must clean it first."""
    agree(Chain((1, 8, 8)).conv(2, 3, pad=1).pool(3, 1, pad=1).conv(2, 3, pad=1).network(), "channel")


def test_too_large_an_image_is_refused():
    network = Chain((1, 64, 64)).conv(1, 3).network()
    with pytest.raises(KakuriError, match="KK-E11"):
        packing("channel").check(network, 2048)


def test_output_larger_than_input_is_refused():
    with pytest.raises(KakuriError, match="KK-E13"):
        compiled(Chain((1, 6, 6)).conv(1, 3, pad=2).network(), "channel")


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 40))
def test_channels_are_placed_without_overlap(rows, columns, gap, count):
    pattern = (np.arange(rows)[:, None] * gap * columns * gap + np.arange(columns)[None, :] * gap).reshape(-1)
    slots = 512
    seen = 0
    for start, shifts in place_side_by_side(pattern, count, slots):
        assert start == seen
        used = np.concatenate([pattern + shift for shift in shifts])
        assert len(set(used.tolist())) == len(used)
        assert used.max() < slots
        seen += len(shifts)
    assert seen == count
