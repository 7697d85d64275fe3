"""Quantised operators in C equal the integer executor, which equals LiteRT's reference kernels, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

import kakuri as kk
from kakuri.codegen.kernels.integer.pairs import quick_sum
from kakuri.codegen.prepare import prepare
from kakuri.errors import KakuriError
from kakuri.model.importers.tflite.load import convert
from kakuri.model.quantized import regions
from kakuri.model.quantized.fixed_point import multiply, quantize_multiplier
from tests.unit.codegen.together import Together, mark
from tests.unit.model.builders import loaded, model
from tests.unit.model.tflite.oracle import feeds_for
from tests.unit.model.tflite.test_quantized_operators import ALL, CONV, elementwise, linear, with_constant

SHAPES = 14
slow, arm = pytest.mark.slow, shutil.which("qemu-aarch64") is None or shutil.which("aarch64-linux-gnu-gcc") is None
TARGETS = [
    "x86-64-avx512vnni",
    *(pytest.param(name, marks=slow) for name in ("x86-64-avx512", "x86-64-avx2", "x86-64-sse2", "plain")),
    *(
        pytest.param(name, marks=[slow, pytest.mark.skipif(arm, reason="no cross compiler")])
        for name in ("arm64", "arm64-dotprod")
    ),
]


def shapes(count: int) -> Iterator[tuple[str, bytes]]:
    """Convolutions, dense layers and elementwise operators of more shapes and scales than the cases have."""
    random = np.random.default_rng(7)
    for index in range(count):
        kind = ("INT8", "UINT8")[index % 2]
        size, rows = random.integers(3, 12, 2), int(random.integers(1, 5))
        inputs, outputs = random.choice([1, 3, 4, 17, 40]), random.choice([1, 5, 16, 33, 70, 100])
        stride, clamp = int(random.integers(1, 3)), int(random.choice([0, 1, 3]))
        options = CONV | {"StrideH": stride, "StrideW": stride, "FusedActivationFunction": clamp}
        out = [1, -(-size[0] // stride), -(-size[1] // stride)]
        shape = [1, *size, inputs]
        conv = {"table": "Conv2DOptions", "options": options, "seed": index}
        yield f"conv {index}", linear(kind, "CONV_2D", shape, [outputs, rows, 3, inputs], [*out, outputs], **conv)
        depthwise = {"table": "DepthwiseConv2DOptions", "options": options | {"DepthMultiplier": 1}, "seed": index}
        wide, taps = [1, *size, outputs], [1, rows, int(random.integers(1, 6)), outputs]
        yield f"depthwise {index}", linear(kind, "DEPTHWISE_CONV_2D", wide, taps, [*out, outputs], **depthwise)
        dense = {"table": "FullyConnectedOptions", "options": {}, "seed": index}
        yield f"dense {index}", linear(kind, "FULLY_CONNECTED", [2, inputs], [outputs, inputs], [2, outputs], **dense)
        scales, name = random.uniform(2.0**-9, 3.0, 3).astype(np.float32), ("ADD", "SUB", "MUL")[index % 3]
        pair = {"scales": scales[:2], "out_scale": scales[2]}
        yield f"{name} {index}", elementwise(kind, name, [[70], [70]], [70], f"{name.title()}Options", **pair)


def legacy() -> Iterator[tuple[str, bytes]]:
    """Maps large enough for short sums and runs of 64 channels; uint8 weights of any zero point, all 9 bits of them."""
    random, twice = np.random.default_rng(11), {"DilationWFactor": 2, "DilationHFactor": 2}
    points = {8: 0, 16: 255, 24: 3, 32: 241, 48: 98, 64: 100, 72: 128, 130: 60}
    for index, (channels, zero) in enumerate(points.items()):
        side, stride, many = int(random.integers(8, 14)), 1 + index // 2 % 2, channels + 40
        out, shape = [1, -(-9 // stride), -(-side // stride)], [1, 9, side, channels]
        steps = {"StrideH": stride, "StrideW": stride, "FusedActivationFunction": index % 2}
        layer = {"seed": index, "zero": zero}
        conv = layer | {"table": "Conv2DOptions", "options": CONV | steps}
        taps = [many, 1, 1, channels]
        yield f"legacy conv {index}", linear("UINT8", "CONV_2D", shape, taps, [*out, many], **conv)
        first, few = [channels, 3, 3, 3], [*out, channels]
        yield f"legacy first {index}", linear("UINT8", "CONV_2D", [1, 9, side, 3], first, few, **conv)
        deep = layer | {"table": "DepthwiseConv2DOptions"}
        options = CONV | {"DepthMultiplier": 1}
        taps = [1, 3 + 2 * (index % 2), 3, channels]
        one = deep | {"options": options | steps}
        yield f"legacy depthwise {index}", linear("UINT8", "DEPTHWISE_CONV_2D", shape, taps, few, **one)
        other = deep | {"options": options | twice}
        yield f"legacy dilated {index}", linear("UINT8", "DEPTHWISE_CONV_2D", shape, taps, shape, **other)
        dense = layer | {"table": "FullyConnectedOptions", "options": {}}
        taps = [channels, 33]
        yield f"legacy dense {index}", linear("UINT8", "FULLY_CONNECTED", [2, 33], taps, [2, channels], **dense)


@pytest.mark.parametrize("target", TARGETS)
def test_every_operator_is_exact(target: str, tmp_path: Path) -> None:
    together = Together()
    for name, data in [*ALL.items(), *shapes(SHAPES), *legacy()]:
        net = convert(data)
        feeds = dict(zip((str(value.name) for value in net.graph.inputs), feeds_for(net), strict=True))
        together.add_net(net, feeds, name)
    assert len(together.marks) > together.count
    wrong = [str(item) for item in together.check(tmp_path, target).differences if item.absolute]
    assert not wrong, wrong


def test_layers_are_compared_in_the_models_own_integers(tmp_path: Path) -> None:
    net = convert(ALL["int8 conv relu6"])
    source = kk.codegen.plan(net, target="x86-64-sse2").build(tmp_path)
    found = source.check(feeds_for(net), layers=True)
    assert len(found.differences) >= 2
    assert found.worst.absolute == 0
    blob = bytearray((tmp_path / "infer_weights.bin").read_bytes())
    blob[0] ^= 0x40
    (tmp_path / "infer_weights.bin").write_bytes(blob)
    assert source.check(feeds_for(net)).worst.absolute > 0


def test_padding_in_a_node_of_its_own_costs_nothing() -> None:
    net = convert(ALL["int8 conv relu6"])
    conv = next(node for node in net.graph if node.op_type == "Conv")
    pads = [0, 0, *conv.attributes["pads"].as_ints()[:2], 0, 0, *conv.attributes["pads"].as_ints()[2:]]
    folded = len(kk.codegen.plan(net).program.operations)
    source = conv.inputs[0].producer()
    point = source.inputs[2]
    amounts = ir.Value(name="amounts", const_value=ir.tensor(np.array(pads), name="amounts"))
    net.graph.register_initializer(amounts)
    grown = [size + pads[i] + pads[4 + i] for i, size in enumerate(source.inputs[0].shape.numpy())]
    pad = ir.node("Pad", [source.inputs[0], amounts, point], name="pad")
    pad.outputs[0].name, pad.outputs[0].shape, pad.outputs[0].dtype = "p", ir.Shape(grown), source.inputs[0].dtype
    net.graph.insert_before(source, pad)
    source.replace_input_with(0, pad.outputs[0])
    source.outputs[0].shape = ir.Shape(grown)
    conv.attributes["pads"] = ir.AttrInt64s("pads", [0, 0, 0, 0])
    assert len(kk.codegen.plan(net).program.operations) == folded


def test_a_quick_sum_is_exact_for_every_pair_or_not_given() -> None:
    random, given = np.random.default_rng(3), 0
    for _ in range(12):
        multipliers = [quantize_multiplier(float(m)) for m in random.uniform(0.1, 0.5, 2)]
        tables = np.stack([multiply((np.arange(256) - 128) << 20, *m) for m in multipliers])
        last = quantize_multiplier(float(random.uniform(1, 3)) / (1 << 20))
        found = quick_sum(tables, last, (128, 0, 255))
        if found is None:
            continue
        given += 1
        a, b, c = found
        exact = np.clip(multiply(tables[0][:, None] + tables[1][None], *last) + 128, 0, 255)
        inner = (np.arange(256.0)[None] * b + c).astype(np.float32)
        got = np.clip(np.rint((np.arange(256.0)[:, None] * a + inner).astype(np.float32)), 0, 255)
        assert (got == exact).all()
    assert given >= 6


def test_what_has_no_integer_kernel_is_named() -> None:
    shape = [2, 3, 4, 5]
    data = with_constant("UINT8", "MEAN", shape, [0, 1, 2], [5], "ReducerOptions")
    with pytest.raises(KakuriError) as caught:
        kk.codegen.plan(convert(data))
    assert [problem.code for problem in caught.value.problems] == ["KK-G18"]


def test_stored_integers_of_a_float_layer_are_its_weights(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights, scales = random.integers(-127, 128, (6, 20)).astype(np.int8), random.uniform(0.01, 0.1, 6)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["r"], axis=0),
        helper.make_node("Gemm", ["x", "r"], ["y"], transB=1),
    ]
    constants = {"w": weights, "s": scales.astype(np.float32), "z": np.zeros(6, np.int8)}
    proto = model(nodes, {"x": [3, 20]}, ["y"], constants)
    source = kk.codegen.plan(loaded(proto), target="x86-64-sse2").build(tmp_path)
    x = random.standard_normal((3, 20)).astype(np.float32)
    assert np.allclose(source.run(x)[0], x @ (weights * scales[:, None].astype(np.float32)).T, atol=1e-4)


@pytest.mark.parametrize("marked", [False, True])
def test_halves_at_a_border(marked: bool, tmp_path: Path) -> None:
    """To even as ONNX says, away from zero where the source does."""
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], name="border")
    constants = {"s": np.float32(1), "z": np.int8(3)}
    proto = model([node], {"x": [8]}, ["y"], constants)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT8
    x = np.array([0.5, -0.5, 1.5, -1.5, 2.5, 1e30, -1e30, 0.49], np.float32)
    net = loaded(proto)
    mark(net, {"border": "tflite:QUANTIZE"} if marked else {})
    got = kk.codegen.plan(net, target="x86-64-sse2").build(tmp_path).run(x)[0]
    expected = [1, -1, 2, -2, 3, 124, -131, 0] if marked else [0, 0, 2, -2, 2, 124, -131, 0]
    assert got.tolist() == [min(max(v + 3, -128), 127) for v in expected]


@pytest.mark.parametrize("name", ["int8 mean", "uint8 mean", "int8 mean kept"])
def test_a_mean_keeps_its_own_rounding(name: str) -> None:
    """An average over a window rounds otherwise than a mean."""
    (before,), (after,) = regions(convert(ALL[name])), regions(prepare(convert(ALL[name])))
    assert before.core is not None
    assert after.core is not None
    assert before.core.op_type == after.core.op_type == "ReduceMean"
