"""What ships: the sample is the test set's first 200 images, each network is what its card says."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from kakuri.errors import KakuriError
from kakuri.model.runtime import onnxruntime
from kakuri.zoo import samples, weights
from kakuri.zoo.data import load_cifar10, load_mnist
from kakuri.zoo.data.folders import data_folder
from kakuri.zoo.onnx_evaluation import onnx_accuracy_percent

needs_data = pytest.mark.skipif(data_folder() is None, reason="KAKURI_DATA is not set")
SHIPPED = weights.names()
LOADERS = {"mnist": load_mnist, "cifar10": load_cifar10}

#: Parameters that the document's networks have, by filters of the second convolution.
PARAMETERS = {
    ("3layer-CNN", 50): 14_550,
    ("3layer-CNN", 40): 11_670,
    ("3layer-CNN", 32): 9_366,
    ("4layer-CNN", 64): 94_986,
    ("4layer-CNN", 58): 86_328,
    ("4layer-CNN", 52): 77_670,
    ("4layer-CNN", 45): 67_569,
}

#: Tables 5.5 and 5.6: accuracy in the clear, percent.
DOCUMENT_PERCENT = {
    ("3layer-CNN", "square"): 99.35,
    ("3layer-CNN", "swish-rg5-deg2"): 99.48,
    ("3layer-CNN", "swish-rg7-deg4"): 99.52,
    ("4layer-CNN", "square"): 79.17,
    ("4layer-CNN", "swish-rg5-deg2"): 79.53,
    ("4layer-CNN", "swish-rg7-deg4"): 80.91,
}


def test_the_sample_is_the_well_known_beginning() -> None:
    sample = samples.mnist_sample()
    assert sample.labels[:20].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5, 9, 7, 3, 4]
    assert sample.images.shape == sample.pixels.shape == (200, 1, 28, 28)
    assert sample.images.dtype == np.float32
    assert np.abs(sample.images - sample.pixels / 255).max() < 1e-7
    assert sorted(set(sample.labels.tolist())) == list(range(10))


@needs_data
@pytest.mark.needs_data
def test_the_sample_is_the_test_sets_first_200() -> None:
    dataset, sample = load_mnist(download=False), samples.mnist_sample()
    assert np.array_equal(sample.pixels, dataset.test_images[:200])
    assert np.array_equal(sample.labels, dataset.test_labels[:200])


def test_a_damaged_sample_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in Path(samples.__file__).parent.glob("*.gz"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        (tmp_path / file.name).write_bytes(content)
    monkeypatch.setattr(samples, "_FOLDER", tmp_path)
    with pytest.raises(KakuriError) as refused:
        samples.mnist_sample()
    assert refused.value.code == "KK-D13"


def test_the_demonstrations_networks_ship() -> None:
    wanted = {
        f"mnist-3layer-{a}{r}" for a in ("square", "swish-rg5-deg2", "swish-rg7-deg4") for r in ("", "-r1", "-r2")
    }
    assert wanted <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_network_is_what_its_card_says(name: str) -> None:
    path, card = weights.path(name), weights.card(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"]
    assert card["name"] == name
    assert path.stat().st_size < 5 * card["parameters"] + 20_000
    model = onnx.load(path)
    fixed = ("running_mean", "running_var")
    trained = [i for i in model.graph.initializer if "." in i.name and not i.name.endswith(fixed)]
    assert sum(int(np.prod(i.dims)) for i in trained) == card["parameters"]
    assert card["parameters"] == PARAMETERS[card["network"], card["channels"]]


@pytest.mark.parametrize("name", [n for n in SHIPPED if n.startswith("mnist")])
def test_each_shipped_network_reads_the_sample(name: str) -> None:
    sample = samples.mnist_sample()
    assert onnx_accuracy_percent(weights.path(name), sample.pixels, sample.labels) >= 98


@needs_data
@pytest.mark.needs_data
@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_network_reaches_its_cards_accuracy(name: str) -> None:
    """Within two images of 10,000: another ONNX Runtime may round a tie differently."""
    dataset = LOADERS[name.split("-", maxsplit=1)[0]](download=False)
    ours = onnx_accuracy_percent(weights.path(name), dataset.test_images, dataset.test_labels)
    assert ours == pytest.approx(weights.card(name)["test_accuracy_percent"], abs=0.021)
    assert weights.card(name)["dataset"]["sha256"] == dataset.digests()


@pytest.mark.parametrize("name", [n for n in SHIPPED if n.endswith(("square", "deg2", "deg4"))])
def test_unpruned_networks_are_at_least_as_accurate_as_the_documents(name: str) -> None:
    card = weights.card(name)
    assert card["status"] == "final"
    assert card["test_accuracy_percent"] >= DOCUMENT_PERCENT[card["network"], card["activation"]]


@pytest.mark.parametrize("name", [n for n in SHIPPED if n.startswith("mnist")])
def test_activation_inputs_of_the_sample_are_as_large_as_the_card_says(name: str) -> None:
    """The card's maxima are over 60,000 training images; 200 others stay near and come near."""
    model = onnx.load(weights.path(name))
    stated = weights.card(name)["largest_activation_inputs_train"]
    layers = {activation: activation.replace("act", "bn") for activation in stated}
    for layer in layers.values():
        model.graph.output.append(onnx.helper.make_tensor_value_info(layer, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0].name
    found = [session.run(list(layers.values()), {image: one[None]}) for one in samples.mnist_sample().images]
    for activation, inputs in zip(layers, zip(*found, strict=True), strict=True):
        assert 0.6 * stated[activation] < np.abs(np.concatenate(inputs)).max() < 1.2 * stated[activation]


def test_unknown_and_damaged_networks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ask in (weights.path, weights.card):
        for name in ("mnist-3layer-sqare", "../weights/mnist-3layer-square", ""):
            with pytest.raises(KakuriError) as refused:
                ask(name)
            assert refused.value.code == "KK-Z30"
    with pytest.raises(KakuriError, match="did you mean mnist-3layer-square"):
        weights.path("mnist-3layer-sqare")
    for suffix in (".onnx", ".json"):
        shutil.copy(weights.path("mnist-3layer-square").with_suffix(suffix), tmp_path)
    damaged = tmp_path / "mnist-3layer-square.onnx"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr(weights, "_FOLDER", tmp_path)
    with pytest.raises(KakuriError) as refused:
        weights.path("mnist-3layer-square")
    assert refused.value.code == "KK-Z31"


def test_samples_data_and_weights_work_without_torch() -> None:
    """In a process where importing torch fails, as on a client that never installed it."""
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from kakuri import zoo, KakuriError\n"
        "zoo.samples.mnist_sample(); zoo.weights.path(zoo.weights.names()[0]); zoo.data.load_mnist\n"
        "import kakuri.zoo.onnx_evaluation\n"
        "for room in ('networks', 'training'):\n"
        "    try: getattr(zoo, room)\n"
        "    except KakuriError as error: print(error.code, 'kakuri[torch]' in error.problem.hint)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "KK-Z01 True\nKK-Z01 True\n"


def test_cards_name_no_machine_path() -> None:
    for name in SHIPPED:
        text = json.dumps(weights.card(name))
        assert str(Path.home()) not in text
        assert "/work" not in text
