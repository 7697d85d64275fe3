"""The parts of the multiplexed packing: covers, splits, layouts, scales, activations, fused rescales."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.encrypted.backends.simulated import SimulatedBackend
from kakuri.encrypted.build import Builder
from kakuri.encrypted.chain import CONJUGATE_INVARIANT, STANDARD
from kakuri.encrypted.execute import encode_constants, execute
from kakuri.encrypted.fuse import fuse_rescales
from kakuri.encrypted.multiplexed.chains import ChainSearch
from kakuri.encrypted.multiplexed.choose import Wanted, choose
from kakuri.encrypted.multiplexed.compile import Design, compile_assignment, compile_multiplexed, lay_out
from kakuri.encrypted.multiplexed.cover import cover, values
from kakuri.encrypted.multiplexed.emit import Emitter
from kakuri.encrypted.multiplexed.layout import Layout
from kakuri.encrypted.multiplexed.linear import Linear, window
from kakuri.encrypted.multiplexed.outline import Outline
from kakuri.encrypted.multiplexed.patterns import folded, plain, targets
from kakuri.encrypted.multiplexed.polynomial import evaluate
from kakuri.encrypted.multiplexed.problem import pose
from kakuri.encrypted.multiplexed.scales import ElasticChain, Policy
from kakuri.encrypted.multiplexed.split import split
from kakuri.encrypted.multiplexed.stages import stages_of
from kakuri.encrypted.multiplexed.steps import PoolFold, Transform
from kakuri.encrypted.noise import NoiseModel
from kakuri.encrypted.planning import _step_bits
from kakuri.encrypted.wire import WireLayout
from kakuri.errors import KakuriError
from tests.unit.encrypted.networks import Chain, answer, four_layer_cnn, three_layer_cnn
from tests.unit.encrypted.simulate import multiplexed, run

POLICY = Policy(34, 30, 28, 28, 24, (26, 48))


def writer(assignment, typical=None):
    """What a chain search emits programs with."""
    prepared = {}
    return lambda builder, policy: Emitter(builder, policy, typical or {}, prepared).run(assignment).registers


@st.composite
def linear_problems(draw):
    """A convolution and two layouts with copies, gaps and partial sums."""
    random = np.random.default_rng(draw(st.integers(0, 999)))
    inputs, outputs, side = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(2, 5))
    kernel, pad = draw(st.integers(1, min(3, side))), draw(st.integers(0, 1))
    grid = (side + 2 * pad - kernel + 1,) * 2
    taps = window((side, side), grid, kernel=(kernel, kernel), strides=(1, 1), pads=(pad,) * 4)
    weight = random.normal(size=(outputs, inputs, kernel * kernel)) * (random.random((outputs, inputs, 1)) < 0.8)
    linear = Linear(weight, taps, random.normal(size=outputs), grid, (side, side))
    slots = 512
    source = draw(st.sampled_from(list(targets(plain((side, side), slots), inputs, slots, copies=True, partial=False))))
    target = draw(st.sampled_from(list(targets(plain(grid, slots), outputs, slots, copies=True, partial=True))))
    return linear, source.layout, target, random


@settings(max_examples=60, deadline=None)
@given(linear_problems())
def test_diagonals_compute_the_layer(problem):
    """The covers' diagonals, applied to slots and folded, give the layer's sums at every place of the target."""
    linear, source, target, random = problem
    if not linear.weight.any():
        return
    posed = pose(linear, source, target.product, target.homes)
    assert posed is not None
    found = cover(posed)
    assert found is not None
    assert len(found.keys) >= posed.lower_bound
    x = random.normal(size=(source.channels, source.positions))
    slots = np.zeros((source.ciphertexts, source.slots))
    ct, slot, element = source.table()
    slots[ct, slot] = x.reshape(-1)[element]
    total = np.zeros((target.product.ciphertexts, source.slots))
    outputs, inputs, shifts = found.split_keys()
    for o, i, shift, row in zip(outputs, inputs, shifts, values(found), strict=True):
        total[o] += row * np.roll(slots[i], -shift)
    total = sum(np.roll(total, -home, axis=1) for home in target.homes)
    padded = np.concatenate([x, np.zeros((len(x), 1))], axis=1)
    expected = np.einsum("oct,ctp->op", linear.weight, padded[:, linear.taps])
    ct, slot, element = target.layout.table()
    np.testing.assert_allclose(total[ct, slot], expected.reshape(-1)[element], atol=1e-9)


def product_by_product(linear, source, target):
    """The greedy cover without groups or classes: diagonals of all products, one by one."""
    ct, slot = source.channel_places
    products = []
    places = (target.product.channel, target.product.channel_ct, target.product.channel_slot)
    for o, out_ct, out_slot in zip(*places, strict=True):
        for i, tap in np.argwhere(linear.weight[o] != 0.0):
            for entry, position in enumerate(target.product.entry_position):
                if linear.taps[tap, position] >= 0:
                    at = source.position_places[linear.taps[tap, position]]
                    products.append(
                        frozenset(
                            (
                                int(out_ct * source.ciphertexts + c),
                                int((s + x - out_slot - target.product.entry_slot[entry] - home) % source.slots),
                            )
                            for c, s in zip(ct[i], slot[i], strict=True)
                            for x in at
                            for home in target.homes
                            if c >= 0 and x >= 0
                        )
                    )
    picked = []
    while products:
        counts = Counter(key for product in products for key in product)
        best = min(counts, key=lambda k: (-counts[k], min(k[1], source.slots - k[1]), k))
        picked.append(best[0] * source.slots + best[1])
        products = [product for product in products if best not in product]
    return sorted(picked)


@settings(max_examples=10, deadline=None)
@given(linear_problems())
def test_groups_and_classes_change_no_choice(problem):
    linear, source, target, _ = problem
    posed = pose(linear, source, target.product, target.homes)
    assert posed is not None
    found = cover(posed)
    assert found is not None
    assert ((found.diagonal >= 0) == (posed.work > 0)).all()
    assert found.keys.tolist() == product_by_product(linear, source, target)
    assert cover(posed, most=len(found.keys) - 1) is None or not len(found.keys)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 255)), min_size=1, unique=True))
def test_every_shift_is_baby_plus_giant(diagonals):
    outputs, inputs, shifts = (np.array(column) for column in zip(*diagonals, strict=True))
    made = split(outputs, inputs, shifts, 256, strides=[16], prices=(1.0, 4.0))
    assert ((made.baby + made.giant) % 256 == shifts).all()
    assert made.babies == len({(i, b) for i, b in zip(inputs, made.baby, strict=True) if b})
    assert made.giants == len({(o, g) for o, g in zip(outputs, made.giant, strict=True) if g})


def test_folded_targets_need_as_many_diagonals_as_their_stride():
    slots, source = 256, next(targets(plain((2, 2), 256), 16, 256, copies=False, partial=False)).layout
    target = folded(10, slots, 16)
    linear = Linear(np.ones((10, 16, 4)), np.arange(4)[:, None], np.zeros(10), (1, 1), (2, 2))
    posed = pose(linear, source, target.product, target.homes, cyclic=target.cyclic)
    assert posed is not None
    found = cover(posed)
    assert found is not None
    assert len(found.keys) <= 16


def test_a_layout_with_two_elements_in_one_slot_is_refused():
    zero = np.zeros(2, dtype=np.int64)
    with pytest.raises(KakuriError, match="KK-E31"):
        Layout(16, 1, 2, (1, 1), np.arange(2), zero, zero, zero[:1], zero[:1]).check_disjoint()


@pytest.mark.parametrize(("log_n", "slots", "diagonals"), [(14, 16384, 288), (14, 8192, 576)])
def test_cifar_convolutions_reach_the_lower_bound(log_n, slots, diagonals):
    """Products of a dense 3x3 convolution over slots: nothing is wasted on empty slots."""
    assignment = lay_out(stages_of(four_layer_cnn((0.0, 0.0, 1.0))), log_n, slots)
    transforms = [step for step in assignment.steps if isinstance(step, Transform)]
    assert [len(step.cover.keys) for step in transforms[1:3]] == [diagonals, diagonals]
    first_pool = next(step for step in assignment.steps if isinstance(step, PoolFold))
    assert first_pool.spread == ()
    assert len(first_pool.placed.layout.channel) == 4 * 32  # four copies of every channel, for nothing


GOLDEN = [
    (three_layer_cnn, 8192, 22_368_256, [7, 22, 16], ["taps1/4r|r", "", "plain1/8", "", "folded16"]),
    (
        four_layer_cnn,
        16384,
        193_676_902,
        [114, 288, 288, 16],
        ["phases1|16", "", "fold", "inherit1", "", "spread", "inherit4/2", "", "folded16"],
    ),
]


@pytest.mark.parametrize(("network", "slots", "price", "diagonals", "choices"), GOLDEN, ids=["mnist", "cifar10"])
def test_layouts_of_the_documents_networks_stay_as_good(network, slots, price, diagonals, choices):
    """The layouts, diagonals and predicted nanoseconds that were once found; a better search may lower them, and then
    changes this table."""
    assignment = lay_out(stages_of(network((0.0, 0.0, 1.0))), slots.bit_length() - 1, slots)
    transforms = [step for step in assignment.steps if isinstance(step, Transform)]
    assert round(assignment.prices[-1]) == price
    assert [len(step.cover.keys) for step in transforms] == diagonals
    assert list(assignment.choices.values()) == choices


def test_stored_choices_give_the_same_program():
    network = three_layer_cnn((0.0, 0.0, 1.0))
    assignment = lay_out(stages_of(network), 12, 4096)
    best = ChainSearch(writer(assignment), 13, STANDARD, 4, 6).best(tolerance=1e9)
    assert best is not None
    noise = NoiseModel(8192)
    first = compile_assignment(network, best.chain, noise, {}, policy=best.policy, assignment=assignment, prepared={})
    design = Design.from_dict(Design(assignment.choices, best.policy).to_dict())
    again = compile_multiplexed(network, best.chain, noise, {}, design)
    assert again.input == first.input
    assert again.output == first.output
    assert again.program.rotations == first.program.rotations
    assert [type(i) for i in again.program.instructions] == [type(i) for i in first.program.instructions]


@pytest.mark.parametrize("ring", [STANDARD, CONJUGATE_INVARIANT])
def test_chains_are_secure_and_their_error_is_within_the_tolerance(ring):
    network = Chain((1, 8, 8)).conv(2, 3).poly(0.1, 0.3, 1.0).flatten().dense(3).network()
    slots = 8192 if ring == CONJUGATE_INVARIANT else 4096
    assignment = lay_out(stages_of(network), 13, slots)
    best = ChainSearch(writer(assignment), 13, ring, 4, 6).best(tolerance=0.02)
    assert best is not None
    assert best.error <= 0.02
    assert best.chain.parameters().security_bits == 128
    assert best.chain.parameters().slots == slots


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-2, 2).map(lambda c: round(c, 3)), min_size=2, max_size=9).filter(lambda c: abs(c[-1]) > 0.05)
)
def test_activations_of_any_degree(coefficients):
    slots = 8
    chain = ElasticChain(slots, 2.0**34)
    builder = Builder(chain, NoiseModel(16))
    source = builder.input()
    result, gain = evaluate(builder, POLICY, source, coefficients, 1.0)
    program = fuse_rescales(builder.finish([result]))
    backend = SimulatedBackend(chain)
    x = np.linspace(-1, 1, slots)
    (out,), _ = execute(program, backend, encode_constants(program, backend), [backend.fresh(x)])
    assert out.values is not None
    expected = np.polynomial.polynomial.polyval(x, coefficients)
    np.testing.assert_allclose(gain * out.values, expected, atol=2e-3 * max(1.0, np.abs(coefficients).max()))


@pytest.mark.parametrize(("coefficients", "levels"), [((0.1, 0.5, 1.0), 1), ((0.1, 0.5, 0.2, 0.0, 1.0), 2)])
def test_degree_two_takes_one_square_and_degree_four_two(coefficients, levels):
    builder = Builder(ElasticChain(8, 2.0**34), NoiseModel(16))
    evaluate(builder, POLICY, builder.input(), coefficients, 1.0)
    names = [type(i).__name__ for i in builder.instructions]
    assert names.count("Square") == levels
    assert "Multiply" not in names


def test_fused_rescales_change_nothing_but_the_count_of_instructions():
    program, chain = multiplexed(Chain((1, 6, 6)).conv(2, 3).poly(0.0, 0.0, 1.0).flatten().dense(2).network(), 512)
    rescales = sum(getattr(i, "rescale", 0) for i in program.program.instructions)
    backend = SimulatedBackend(chain, arithmetic=False)
    inputs = [backend.fresh(np.zeros(1)) for _ in program.program.inputs]
    outputs, _ = execute(program.program, backend, encode_constants(program.program, backend), inputs)
    assert rescales > 0
    assert outputs[0].level == program.output_level
    assert outputs[0].scale == pytest.approx(program.output_scale)


def residual_network():
    """Three blocks of the ResNet-8 class with strided 1x1 shortcuts on 32x32 images, squares with a linear term."""
    net = Chain((3, 32, 32)).conv(8, 3, pad=1).poly(0.0, 0.3, 0.2)
    for channels, stride in ((8, 1), (16, 2), (32, 2)):
        skip, shape = net.last, net.shape
        net.conv(channels, 3, stride, pad=1).poly(0.0, 0.3, 0.2).conv(channels, 3, pad=1)
        main, main_shape = net.last, net.shape
        if stride != 1:
            net.last, net.shape = skip, shape
            skip = net.conv(channels, 1, stride).last
            net.last, net.shape = main, main_shape
        net.plus(skip).poly(0.0, 0.3, 0.2)
    return net.pool(8, divisor=64.0).flatten().dense(10).network()


@pytest.mark.slow
def test_a_residual_network_fits_a_ring_and_answers_right():
    network = residual_network()
    x = np.random.default_rng(0).uniform(-1, 1, size=(1, *network.input_shape))
    expected = answer(network, x)
    got = run(network, "multiplexed", x, slots=16384)
    np.testing.assert_allclose(got, expected, atol=2e-3 * np.abs(expected).max())
    typical = dict.fromkeys(network.value_names(), 1.0)
    assignment = lay_out(stages_of(network), 15, 32768)
    best = ChainSearch(writer(assignment, typical), 15, CONJUGATE_INVARIANT, 4, 6).best(tolerance=0.02)
    assert best is not None
    assert best.chain.parameters().security_bits == 128


def test_a_network_too_deep_for_the_ring_names_its_deepest_activation():
    net = Chain((1, 4, 4))
    for _ in range(6):
        net.conv(1, 3, pad=1).poly(0.0, 0.0, 1.0)
    wanted = Wanted((12,), tolerance=1e-3, integer_bits=4, largest_bits=6)
    with pytest.raises(KakuriError, match="KK-E20") as refusal:
        choose(net.flatten().dense(2).network(), {}, wanted)
    assert refusal.value.problem.where == "polynomial11"
    assert "levels take" in str(refusal.value)
    assert "larger ring" in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        {"places": "AAAA"},
        {"places": "not base64"},
        {"count": 1 << 40},
        {"count": 3},
        {"ciphertexts": 0},
        {"shape": [0, 2]},
        {"shape": [10**9]},
    ],
)
def test_damaged_wire_layouts_are_refused(change):
    layout = WireLayout((2, 2), 1, np.zeros(4, dtype=np.int64), np.arange(4), np.arange(4), batched=False)
    data = layout.to_dict()
    assert WireLayout.from_dict(data, 8, every_element=True) == layout
    with pytest.raises((ValueError, TypeError, KeyError)):
        WireLayout.from_dict(data | change, 8, every_element=True)


def test_a_wire_layout_may_repeat_elements_and_leave_some_out():
    layout = WireLayout((3,), 2, np.array([0, 1, 1]), np.array([0, 0, 3]), np.array([2, 2, 0]), batched=False)
    packed = layout.pack(np.array([[5.0, 6.0, 7.0]]), 4)
    assert packed.tolist() == [[7.0, 0.0, 0.0, 0.0], [7.0, 0.0, 0.0, 5.0]]
    with pytest.raises(ValueError, match="places"):
        WireLayout.from_dict(layout.to_dict(), 4, every_element=True)


@pytest.mark.parametrize("ring", [STANDARD, CONJUGATE_INVARIANT])
def test_an_outline_never_asks_for_more_than_a_program(ring):
    """What rejects a ring before layouts are known: fewer bits and less error than the program, at equal scales."""
    graph = stages_of(three_layer_cnn((0.1, 0.4, 1.0)))
    policy = Policy(28, 24, 22, 22, 14, (34, 47))
    full = ChainSearch(writer(lay_out(graph, 13, 4096)), 13, ring, 4, 6)
    outline = ChainSearch(Outline(graph, {}).write, 13, ring, 4, 6)
    (least_bits, least_error), (bits, error) = outline.sketch(policy), full.sketch(policy)
    assert sum(least_bits) <= sum(bits)
    assert least_error <= error


def test_answers_are_rounded_as_finely_as_their_labels_need():
    close = np.array([[0.0, 10.0, 9.99], [0.0, -10.0, 5.0]] * 50)
    far = np.array([[0.0, 10.0, 5.0], [0.0, -10.0, 5.0]] * 50)
    fine, coarse = _step_bits(7.0, close), _step_bits(7.0, far)
    assert 2.0**-coarse <= 7.0 / 32 < 2.0 ** (1 - coarse)
    assert 2.0**-fine <= 0.0101
    assert _step_bits(7.0, None) == coarse
    assert _step_bits(7.0, np.zeros((9, 3))) == 8  # a tie in every answer: as fine as is ever asked for
