"""Torch modules: loading and pruning, against torch itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model.graph import constant
from kakuri.model.passes import fold_batchnorm, normalize_linear, recognize_polynomial
from kakuri.model.passes.prune_channels import prune

torch = pytest.importorskip("torch", reason="the extra kakuri[torch] is not installed")
nn = torch.nn


class Square(nn.Module):
    def forward(self, x):
        return 0.25 * x * x + 0.5 * x


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.SiLU()

    def forward(self, x):
        return x + self.act(self.bn(self.conv(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(4)
        self.act1 = Square()
        self.blocks = nn.Sequential(Block(4), Block(4))
        self.drop = nn.Dropout(0.5)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = self.blocks(self.act1(self.bn1(self.conv1(x))))
        return self.fc(self.drop(self.pool(x)).flatten(1))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    net = Net()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    net.train()
    net.blocks[1].bn.eval()
    return net


@pytest.fixture(scope="module")
def loaded_net(module):
    modes = [part.training for part in module.modules()]
    net = kk.load(module, example=torch.zeros(1, 1, 9, 9))
    assert [part.training for part in module.modules()] == modes
    return net


X = np.random.default_rng(1).standard_normal((3, 1, 9, 9)).astype(np.float32)


def answer(module, x=X):
    modes = [(part, part.training) for part in module.modules()]
    with torch.no_grad():
        result = module.eval()(torch.from_numpy(x)).numpy()
    for part, mode in modes:
        part.training = mode
    return result


def test_same_answers_as_the_module(module, loaded_net):
    np.testing.assert_allclose(kk.model.reference_outputs(loaded_net, X), answer(module), atol=1e-5)


def test_nodes_are_named_after_modules(loaded_net):
    net = recognize_polynomial(normalize_linear(fold_batchnorm(loaded_net)))
    names = {node.name: node.op_type for node in net.graph}
    expected = {
        "conv1": "Conv",
        "act1": "Polynomial",
        "blocks.0.conv": "Conv",
        "blocks.0.act": "Mul",
        "blocks.0.add": "Add",
        "blocks.1.conv": "Conv",
        "pool": "AveragePool",
        "fc": "Gemm",
    }
    assert {name: names.get(name) for name in expected} == expected


def test_no_source_paths_stay(loaded_net):
    assert b"test_torch" not in kk.model.to_bytes(loaded_net)


def test_examples_of_other_kinds(module):
    for example in (np.zeros((1, 1, 9, 9), np.float32), (torch.zeros(2, 1, 9, 9)[:1],)):
        net = kk.load(module, example=example)
        np.testing.assert_allclose(kk.model.reference_outputs(net, X), answer(module), atol=1e-5)


def test_parts_of_a_tensor():
    class Halves(nn.Module):
        def forward(self, x):
            left, right = torch.chunk(x, 2, dim=1)
            return left * right

    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    net = kk.load(Halves(), example=torch.zeros(1, 4))
    assert [node.op_type for node in net.graph] == ["Split", "Mul"]
    np.testing.assert_array_equal(kk.model.reference_outputs(net, x), x[:, :2] * x[:, 2:])


@pytest.mark.parametrize("example", [None, "x", ()])
def test_a_module_needs_an_example(module, example):
    with pytest.raises(KakuriError) as caught:
        kk.load(module, example=example)
    assert caught.value.code == "KK-M11"


def test_a_module_that_cannot_be_exported_keeps_its_mode():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    module = Branch().train()
    with pytest.raises(KakuriError) as caught:
        kk.load(module, example=torch.zeros(1, 2))
    assert caught.value.code == "KK-M13"
    assert module.training


@pytest.mark.parametrize("action", ["kk.load(Module(), example=0)", "prune(None, None, layer='a', keep=1)"])
def test_a_missing_extra_says_what_to_install(action):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import kakuri as kk\n"
        "from kakuri.model.passes.prune_channels import prune\n"
        "class Module:\n  state_dict = forward = None\n"
        f"try:\n  {action}\nexcept kk.KakuriError as error:\n  sys.exit(str(error))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "KK-M12" in result.stderr
    assert "pip install kakuri[torch]" in result.stderr


# Pruning


class Plain(nn.Module):
    """The document's network: conv 5x5 stride 2 twice, fully connected; 14,550 parameters."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 5, 5, 2), nn.BatchNorm2d(5)
        self.conv2, self.bn2 = nn.Conv2d(5, 50, 5, 2), nn.BatchNorm2d(50)
        self.fc = nn.Linear(800, 10)

    def forward(self, x):
        x = torch.square(self.bn1(self.conv1(x)))
        return self.fc(torch.square(self.bn2(self.conv2(x))).flatten(1))


EXAMPLE = torch.zeros(1, 1, 28, 28)


def parameters(module):
    return sum(tensor.numel() for tensor in module.parameters())


def test_the_documents_parameter_counts():
    once = prune(Plain(), EXAMPLE, layer="conv2", keep=40)
    assert (parameters(Plain()), parameters(once)) == (14_550, 11_670)
    assert parameters(prune(once, EXAMPLE, layer="conv2", keep=32)) == 9_366


def test_the_largest_filters_stay_in_order_with_everything_that_reads_them():
    module = Plain()
    before = [tensor.clone() for tensor in module.state_dict().values()]
    pruned = prune(module, EXAMPLE, layer="conv2", keep=12)
    norms = module.conv2.weight.detach().abs().sum(dim=(1, 2, 3))
    kept = sorted(torch.topk(norms, 12).indices.tolist())
    torch.testing.assert_close(pruned.conv2.weight, module.conv2.weight[kept])
    torch.testing.assert_close(pruned.bn2.weight, module.bn2.weight[kept])
    columns = [channel * 16 + place for channel in kept for place in range(16)]
    torch.testing.assert_close(pruned.fc.weight, module.fc.weight[:, columns])
    torch.testing.assert_close(pruned.conv1.weight, module.conv1.weight)
    for old, now in zip(before, module.state_dict().values(), strict=True):
        torch.testing.assert_close(old, now)
    assert pruned.training
    pruned(EXAMPLE.repeat(2, 1, 1, 1)).sum().backward()
    assert pruned.conv2.weight.grad is not None


def test_dropping_channels_that_do_nothing_keeps_the_function():
    torch.manual_seed(1)
    module = Plain().eval()
    with torch.no_grad():
        for tensor in (module.conv2.weight, module.conv2.bias, module.bn2.bias):
            tensor[10:20] = 0
    x = torch.randn(4, 1, 28, 28)
    pruned = prune(module, EXAMPLE, layer="conv2", keep=40)
    torch.testing.assert_close(pruned(x), module(x))


def test_pruned_modules_load():
    net = kk.load(prune(Plain(), EXAMPLE, layer="conv2", keep=7), example=EXAMPLE)
    conv2 = next(node for node in net.graph if node.name == "conv2")
    assert constant(conv2.inputs[1]).shape == (7, 5, 5, 5)


@pytest.mark.parametrize(("layer", "keep"), [("conv3", 4), ("bn1", 4), ("conv2", 0), ("conv2", 51)])
def test_pruning_that_makes_no_sense(layer, keep):
    with pytest.raises(KakuriError) as caught:
        prune(Plain(), EXAMPLE, layer=layer, keep=keep)
    assert caught.value.code == "KK-M24"


def test_keeping_all_is_a_copy():
    module = Plain()
    copy = prune(module, EXAMPLE, layer="conv2", keep=50)
    assert copy is not module
    torch.testing.assert_close(copy.state_dict(), module.state_dict())
