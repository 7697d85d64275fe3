"""ONNX export: ONNX Runtime gives torch's answer, names are the layers', nothing of the machine leaks into the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from kakuri.errors import KakuriError
from kakuri.zoo import networks
from kakuri.zoo.data import ImageDataset
from kakuri.zoo.onnx_evaluation import onnx_accuracy_percent, onnx_logits
from kakuri.zoo.preprocessing import PREPROCESSING
from kakuri.zoo.training import accuracy_percent, largest_activation_inputs, logits_of, publish, to_onnx


def lived_in(module: torch.nn.Module, shape: tuple[int, int, int]) -> torch.nn.Module:
    """Running statistics and biases away from their starting values, so that none can be lost unnoticed."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) * 0.2)
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)
                part.bias.copy_(torch.randn(part.bias.shape, generator=generator) * 0.2)
    module(torch.zeros(2, *shape))
    return module.eval()


@pytest.mark.parametrize("activation", ["relu", "swish", "square", "swish-rg5-deg2", "swish-rg7-deg4"])
def test_onnx_runtime_agrees_with_torch(activation: str, stripes: ImageDataset) -> None:
    torch.manual_seed(1)
    module = lived_in(networks.three_layer_cnn(activation), (1, 28, 28))
    content = to_onnx(module, (1, 28, 28), "test")
    ours, expected = onnx_logits(content, stripes.test_images), logits_of(module, stripes.test_images).numpy()
    assert ours.shape == (100, 10)
    assert np.abs(ours - expected).max() < 1e-4 * max(1, np.abs(expected).max())
    accuracy = accuracy_percent(module, stripes.test_images, stripes.test_labels)
    assert onnx_accuracy_percent(content, stripes.test_images, stripes.test_labels) == accuracy


def test_the_four_layer_network_exports() -> None:
    module = lived_in(networks.four_layer_cnn("swish-rg7-deg4", 45), (3, 32, 32))
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    ours = onnx_logits(to_onnx(module, (3, 32, 32), "test"), images)
    expected = logits_of(module, images).numpy()
    assert np.abs(ours - expected).max() < 1e-4 * np.abs(expected).max()


def test_names_shapes_and_metadata() -> None:
    content = to_onnx(networks.three_layer_cnn("square"), (1, 28, 28), "mnist-test")
    model = onnx.load_from_string(content)
    nodes = [(node.name, node.op_type) for node in model.graph.node]
    assert nodes == [
        ("conv1", "Conv"),
        ("bn1", "BatchNormalization"),
        ("act1", "Mul"),
        ("conv2", "Conv"),
        ("bn2", "BatchNormalization"),
        ("act2", "Mul"),
        ("flatten", "Reshape"),
        ("fc", "Gemm"),
    ]
    (image,), (logits,) = model.graph.input, model.graph.output
    assert (image.name, [d.dim_value for d in image.type.tensor_type.shape.dim]) == ("image", [1, 1, 28, 28])
    assert (logits.name, [d.dim_value for d in logits.type.tensor_type.shape.dim]) == ("logits", [1, 10])
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert model.graph.name == "mnist-test"
    (metadata,) = model.metadata_props
    assert (metadata.key, json.loads(metadata.value)) == ("kakuri.preprocessing", PREPROCESSING.to_dict())


def test_polynomial_nodes_carry_the_layers_name() -> None:
    model = onnx.load_from_string(to_onnx(networks.three_layer_cnn("swish-rg7-deg4"), (1, 28, 28), "x"))
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert sum(name.startswith("act1.") for name in names) == sum(name.startswith("act2.") for name in names) == 7


def test_the_file_is_reproducible_and_tells_nothing_of_the_machine() -> None:
    module = networks.three_layer_cnn("swish-rg5-deg2")
    content = to_onnx(module, (1, 28, 28), "x")
    assert content == to_onnx(module, (1, 28, 28), "x")
    for trace in (b"site-packages", b"File ", b".py", os.getcwd().encode(), str(Path(torch.__file__).parent).encode()):
        assert trace not in content


def test_export_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    to_onnx(networks.three_layer_cnn("relu"), (1, 28, 28), "x")
    assert capfd.readouterr().out == ""


def test_the_card_describes_its_file(stripes: ImageDataset, tmp_path: Path) -> None:
    module = networks.three_layer_cnn("swish-rg5-deg2", 32).eval()
    content = to_onnx(module, (1, 28, 28), "net")
    (tmp_path / "new").mkdir()
    publish(tmp_path / "new" / "net.onnx", content, module, stripes, {"seed": 3})
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["net.json", "net.onnx"]
    assert (tmp_path / "new" / "net.onnx").read_bytes() == content
    card = json.loads((tmp_path / "new" / "net.json").read_text())
    assert (card["name"], card["seed"], card["parameters"]) == ("net", 3, 9_366)
    assert card["largest_activation_inputs_train"] == largest_activation_inputs(module, stripes.train_images)
    assert card["dataset"]["sha256"] == stripes.digests()


def test_preprocessing_refuses_what_is_not_a_pixel() -> None:
    assert PREPROCESSING.apply(np.array([0, 51, 255], np.uint8)).tolist() == pytest.approx([0.0, 0.2, 1.0])
    with pytest.raises(KakuriError) as refused:
        PREPROCESSING.apply(np.zeros(3))  # type: ignore[arg-type]
    assert refused.value.code == "KK-D03"
