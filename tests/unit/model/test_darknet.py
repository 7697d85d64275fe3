"""Darknet import: the same numbers as plain loops, Darknet's layer count, typed refusals, mutated files."""

from __future__ import annotations

import os
import random
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model.layers import layers
from kakuri.zoo.data.mnist import load_mnist
from tests.unit.model.darknet_files import DarknetNet, lenet

ACTIVATIONS = ["linear", "relu", "leaky", "logistic", "tanh", "elu"]


@st.composite
def networks(draw: st.DrawFn) -> DarknetNet:
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    channels = draw(st.sampled_from([1, 2, 4]))
    net = DarknetNet((channels, draw(st.integers(3, 9)), draw(st.integers(3, 9))), rng, draw(st.booleans()))
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            groups = 2 if net.shape[0] % 2 == 0 and draw(st.booleans()) else 1
            size = draw(st.integers(1, min(3, *net.shape[1:])))
            net.conv(
                groups * draw(st.integers(1, 3)),
                size,
                draw(st.integers(1, 2)),
                draw(st.integers(0, 1)),
                draw(st.sampled_from(ACTIVATIONS)),
                draw(st.booleans()),
                groups,
            )
        else:
            net.maxpool(draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        if draw(st.booleans()):
            net.passing("dropout")
    for _ in range(draw(st.integers(1, 2))):
        net.connected(draw(st.integers(1, 5)), draw(st.sampled_from(ACTIVATIONS)), draw(st.booleans()))
    if draw(st.booleans()):
        net.softmax(draw(st.sampled_from([1.0, 0.5])))
    net.passing("cost")
    return net


@settings(deadline=None, max_examples=60)
@given(net=networks())
def test_loaded_networks_compute_what_darknet_computes(tmp_path_factory, net):
    path = net.save(tmp_path_factory.mktemp("darknet"))
    shape = [int(line.split("=")[1]) for line in net.text[0].replace(" ", "").splitlines()[2:5]]
    x = net.rng.standard_normal(shape).astype(np.float32)
    loaded = kk.load(path)
    assert len(layers(loaded)) == len(net.steps)
    answer = kk.model.reference_outputs(loaded, x[None])[0]
    np.testing.assert_allclose(answer, net.run(x.astype(np.float64)).reshape(answer.shape), rtol=2e-4, atol=2e-5)


def test_layers_are_numbered_as_darknet_counts(tmp_path):
    numbered = layers(kk.load(lenet(np.random.default_rng(1)).save(tmp_path)))
    assert [layer.kind for layer in numbered] == (
        ["convolutional", "maxpool"] * 2
        + ["connected", "dropout", "connected", "dropout", "connected", "softmax", "cost"]
    )
    assert [node.op_type for node in numbered[4].nodes] == ["Flatten", "Gemm", "Relu"]
    assert numbered[5].nodes == numbered[10].nodes == ()


def test_layer_numbers_survive_packaging(tmp_path):
    net = kk.load(lenet(np.random.default_rng(1)).save(tmp_path))
    again = kk.model.from_bytes(kk.model.to_bytes(net))
    assert [(layer.kind, layer.name) for layer in layers(again)] == [(layer.kind, layer.name) for layer in layers(net)]


def test_other_models_count_nodes(tmp_path):
    net = kk.load(lenet(np.random.default_rng(1)).save(tmp_path))
    del net.metadata_props["kakuri.layers"]
    assert [layer.kind for layer in layers(net)] == [node.op_type for node in net.graph]


def test_route_and_shortcut(tmp_path):
    net = DarknetNet((2, 4, 4), np.random.default_rng(2))
    net.conv(2, 3, 1, 1, "linear", False)
    net.conv(2, 3, 1, 1, "relu", False)
    net.text.append("[shortcut]\nfrom=-2\nactivation=leaky\n")
    net.text.append("[route]\nlayers=-1, 0\n")
    first, second = net.steps
    x = net.rng.standard_normal((2, 4, 4)).astype(np.float32)
    a = first(x.astype(np.float64))
    added = second(a) + a
    wanted = np.concatenate([np.where(added > 0, added, 0.1 * added), a])
    np.testing.assert_allclose(
        kk.model.reference_outputs(kk.load(net.save(tmp_path)), x[None])[0], wanted, rtol=1e-4, atol=1e-5
    )


@pytest.mark.needs_data
@pytest.mark.skipif("KAKURI_DATA" not in os.environ, reason="set KAKURI_DATA to a folder with weights/ and mnist/")
def test_the_published_lenet_keeps_its_accuracy(tmp_path):
    folder = Path(os.environ["KAKURI_DATA"])
    shutil.copy(folder / "weights/mnist_lenet.cfg", tmp_path)
    shutil.copy(folder / "weights/darknetz_mnist_lenet.weights", tmp_path / "mnist_lenet.weights")
    net = kk.load(tmp_path / "mnist_lenet.cfg")
    mnist = load_mnist(folder, download=False)
    images = np.repeat(mnist.test_images, 3, axis=1) / np.float32(255)
    right = kk.model.reference_outputs(net, images).argmax(axis=1) == mnist.test_labels
    assert right.sum() == 9548


REFUSED = {
    "": "KK-M40",
    "batch=1\n[net]": "KK-M40",
    "[maxpool]\nsize=2": "KK-M40",
    "[net]\nheight=4\nwidth=4\nchannels=1": "KK-M40",
    "[net]\nwhat is this": "KK-M40",
    "[net]\nbatch=1\n[softmax]": "KK-M40",
    "[net]\ninputs=4\n[maxpool]\nsize=2": "KK-M42",
    "[net]\ninputs=4\n[connected]\noutput=two": "KK-M41",
    "[net]\ninputs=4\n[connected]\noutput=99999999": "KK-M41",
    "[net]\ninputs=4\n[connected]\noutput=2\nactivation=mish": "KK-M43",
    "[net]\ninputs=4\n[softmax]\ngroups=2": "KK-M43",
    "[net]\ninputs=4\n[softmax]\ntemperature=nan": "KK-M41",
    "[net]\ninputs=4\n[softmax]\ntree=words": "KK-M43",
    "[net]\ninputs=4\n[shortcut]\nfrom=-1": "KK-M42",
    "[net]\ninputs=4\n[route]\nlayers=3": "KK-M42",
    "[net]\nheight=4\nwidth=4\nchannels=1\n[convolutional]\nsize=9": "KK-M42",
    "[net]\nheight=4\nwidth=4\nchannels=3\n[convolutional]\ngroups=2": "KK-M42",
    "[net]\nheight=65536\nwidth=65536\nchannels=60000\n[softmax]": "KK-M03",
    "[net]\nheight=60000\nwidth=60000\nchannels=1\n[convolutional]\nfilters=9999999\nactivation=relu": "KK-M03",
    "[net]\ninputs=16777216\n[connected]\noutput=16777216\nactivation=relu": "KK-M44",
}


@pytest.mark.parametrize(("text", "code"), REFUSED.items())
def test_refusals(tmp_path, text, code):
    (tmp_path / "n.cfg").write_text(text)
    (tmp_path / "n.weights").write_bytes(struct.pack("<iiiq", 0, 2, 0, 0))
    with pytest.raises(KakuriError) as caught:
        kk.load(tmp_path / "n.cfg")
    assert caught.value.code == code


def test_every_unsupported_layer_is_named_at_once(tmp_path):
    (tmp_path / "n.cfg").write_text("[net]\ninputs=4\n[yolo]\n[connected]\n[gru]\n")
    with pytest.raises(KakuriError) as caught:
        kk.load(tmp_path / "n.cfg")
    assert [problem.where for problem in caught.value.problems] == ["layer 0 [yolo], line 3", "layer 2 [gru], line 5"]


def test_a_weights_file_of_another_length_is_refused_with_both_lengths(tmp_path):
    path = lenet(np.random.default_rng(0), side=14).save(tmp_path)
    weights = path.with_suffix(".weights")
    weights.write_bytes(weights.read_bytes() + b"\0\0\0\0")
    with pytest.raises(KakuriError, match="bytes") as caught:
        kk.load(path)
    assert caught.value.code == "KK-M44"
    weights.unlink()
    with pytest.raises(KakuriError) as missing:
        kk.load(path)
    assert missing.value.code == "KK-F12"


def test_mutated_files_give_a_model_or_a_refusal(tmp_path):
    """Bytes of both files are damaged, moved and replaced; nothing else than KakuriError may come out."""
    rng, random_ = np.random.default_rng(3), random.Random(4)
    net = DarknetNet((1, 6, 6), rng)
    net.conv(2, 3, 1, 1, "leaky", True)
    net.maxpool(2, 2)
    net.connected(3, "relu")
    net.softmax()
    path = net.save(tmp_path)
    original = {suffix: path.with_suffix(suffix).read_bytes() for suffix in (".cfg", ".weights")}
    words = [b"0", b"-1", b"999999999", b"[route]\nlayers=-1\n", b"[maxpool]\n", b"=", b"\n", b"size=", b"\xff", b"1e9"]
    outcomes: dict[str, int] = {}
    for _ in range(600):
        for suffix, data in original.items():
            changed = bytearray(data)
            for _ in range(random_.choice((0, 1, 1, 2)) if suffix == ".cfg" else random_.choice((0, 0, 1))):
                at = random_.randrange(len(changed))
                match random_.randrange(4):
                    case 0:
                        changed[at] ^= 1 << random_.randrange(8)
                    case 1:
                        changed[at : at + random_.randrange(8)] = random_.choice(words)
                    case 2:
                        del changed[at : at + random_.randrange(1, 40)]
                    case _:
                        changed[at:at] = changed[at : at + random_.randrange(1, 60)]
            path.with_suffix(suffix).write_bytes(changed)
        try:
            kk.load(path)
            code = "loaded"
        except KakuriError as error:
            code = error.code
        outcomes[code] = outcomes.get(code, 0) + 1
    assert set(outcomes) <= {"loaded", "KK-M02", "KK-M03", "KK-M07", *(f"KK-M4{digit}" for digit in range(5))}
    assert min(outcomes.get(code, 0) for code in ("loaded", "KK-M40", "KK-M41", "KK-M42", "KK-M43", "KK-M44")) > 0
