"""The emitted project: reproducible, self-contained, refusing what does not fit; the room's errors and command line."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import kakuri as kk
from kakuri.cli.main import main
from kakuri.errors import KakuriError
from tests.unit.model.builders import loaded, model

node = helper.make_node
TARGET = "x86-64-sse2"


def network() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((8, 3, 3, 3)), "fc": random.standard_normal((128, 5))}
    nodes = [
        node("Conv", ["secret_input", "w"], ["c"], name="secret_layer", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("HardSwish", ["c"], ["h"]),
        node("Flatten", ["h"], ["f"]),
        node("MatMul", ["f", "fc"], ["m"]),
        node("Softmax", ["m"], ["secret_output"]),
    ]
    constants = {name: array.astype(np.float32) for name, array in weights.items()}
    return model(nodes, {"secret_input": [1, 3, 8, 8]}, ["secret_output"], constants)


def image() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)


def test_equal_inputs_give_equal_bytes() -> None:
    first, second = (kk.codegen.plan(loaded(network())).files() for _ in range(2))
    assert first == second


def test_no_name_of_the_model_is_in_the_project_unless_asked_for() -> None:
    plain = b"".join(kk.codegen.plan(loaded(network())).files().values())
    told = b"".join(kk.codegen.plan(loaded(network()), comments=True).files().values())
    assert b"secret" not in plain
    assert b"secret_layer" in told


def test_a_layer_of_several_steps_is_compared_after_the_last(tmp_path: Path) -> None:
    """A Pad of channels fills, then copies."""
    nodes = [node("HardSwish", ["x"], ["h"]), node("Pad", ["h", "pads"], ["p"]), node("Tanh", ["p"], ["y"])]
    pads = {"pads": np.array([0, 0, 0, 0, 0, 5, 0, 0])}
    net = loaded(model(nodes, {"x": [1, 3, 8, 8]}, ["y"], pads))
    found = kk.codegen.plan(net, target=TARGET).build(tmp_path).check(image(), layers=True)
    assert [item.name for item in found.differences] == ["h", "p", "y"]
    assert found.worst.relative < 1e-5


def test_layers_and_outputs_agree_with_the_model(tmp_path: Path) -> None:
    found = kk.codegen.plan(loaded(network()), target=TARGET).build(tmp_path).check(image(), layers=True)
    assert len(found.differences) > 3
    assert found.worst.relative < 1e-5


def test_a_wrong_weight_is_noticed(tmp_path: Path) -> None:
    source = kk.codegen.plan(loaded(network()), target=TARGET).build(tmp_path)
    blob = bytearray((tmp_path / "infer_weights.bin").read_bytes())
    blob[3] ^= 0x40
    (tmp_path / "infer_weights.bin").write_bytes(blob)
    assert source.check(image()).worst.relative > 1e-3


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[ctypes.CDLL, Path, kk.codegen.CodegenPlan]:
    """The network as a shared library with external weights."""
    folder = tmp_path_factory.mktemp("project")
    plan = kk.codegen.plan(loaded(network()), target=TARGET, weights="external", entry="answer")
    path = plan.build(folder).compile(folder, shared=True)
    return ctypes.CDLL(str(path)), path, plan


def _aligned(size: int, offset: int = 0) -> np.ndarray:
    whole = np.full(size + 128, 0xA5, np.uint8)
    start = -whole.ctypes.data % 64 + offset
    return whole[start : start + size]


def _pointers(*arrays: np.ndarray) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def test_what_does_not_fit_is_refused_and_nothing_is_written(library) -> None:
    function, _, plan = library[0].answer, *library[1:]
    blob = plan.files()["answer_weights.bin"]
    size = plan.program.arena_bytes
    for arena, arena_bytes, weights_offset, weights_bytes, code in (
        (_aligned(size), size - 1, 0, len(blob), 2),
        (_aligned(size, 4), size, 0, len(blob), 3),
        (_aligned(size), size, 0, len(blob) - 1, 4),
        (_aligned(size), size, 8, len(blob), 5),
    ):
        weights, output = _aligned(len(blob), weights_offset), np.full((1, 5), 7, np.float32)
        arena_at = ctypes.c_void_p(arena.ctypes.data), ctypes.c_size_t(arena_bytes)
        blob_at = ctypes.c_void_p(weights.ctypes.data), ctypes.c_size_t(weights_bytes)
        assert function(_pointers(image()), _pointers(output), *arena_at, *blob_at) == code
        assert (output == 7).all()
        assert (arena == 0xA5).all()
    assert function(None, None, None, 0, None, 0) == 1


def test_external_weights_compute_the_same(library, tmp_path: Path) -> None:
    plan = library[2]
    assert plan.build(tmp_path).check(image()).worst.relative < 1e-5


def test_the_library_calls_nothing_but_memcpy_and_memset(library) -> None:
    listed = subprocess.run(["nm", "-D", "--undefined-only", library[1]], capture_output=True, text=True, check=True)
    called = {line.split()[-1].split("@")[0] for line in listed.stdout.splitlines() if " U " in line}
    assert called <= {"memcpy", "memset"}


def test_the_library_has_no_writable_data_of_its_own(library) -> None:
    names = subprocess.run(["nm", library[1]], capture_output=True, text=True, check=True).stdout
    writable = re.findall(r" [bBdD] (\S+)", names)
    runtime = {
        "completed.0",
        "__dso_handle",
        "_DYNAMIC",
        "_GLOBAL_OFFSET_TABLE_",
        "__TMC_END__",
        "__bss_start",
        "_edata",
    }
    assert not [n for n in writable if n not in runtime and not n.startswith("__") and not n.startswith("kk_tiles")]


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@pytest.mark.parametrize("option", ["-DKK_WEIGHTS_AS_TEXT=OFF", "-DKK_WEIGHTS_AS_TEXT=ON"])
def test_the_cmake_project_builds_and_runs(tmp_path: Path, option: str) -> None:
    plan = kk.codegen.plan(loaded(network()), target=TARGET)
    plan.build(tmp_path)
    for command in (["cmake", "-S", ".", "-B", "b", option], ["cmake", "--build", "b"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "b" / "infer_weights.inc").exists() == option.endswith("ON")
    (tmp_path / "in").write_bytes(image().tobytes())
    subprocess.run(["b/infer_main", "in", "out", "1"], cwd=tmp_path, check=True, capture_output=True)
    got = np.frombuffer((tmp_path / "out").read_bytes(), np.float32)
    assert np.allclose(got, plan.build(tmp_path, overwrite=True).run(image())[0].reshape(-1))


def test_existing_files_are_kept(tmp_path: Path) -> None:
    plan = kk.codegen.plan(loaded(network()), target=TARGET)
    plan.build(tmp_path)
    with pytest.raises(KakuriError) as caught:
        plan.build(tmp_path)
    assert caught.value.code == "KK-F11"


def test_everything_unsupported_is_named_at_once() -> None:
    proto = model(
        [node("Shrink", ["x"], ["y"], name="one"), node("Shrink", ["y"], ["z"], name="two")], {"x": [1, 4]}, ["z"]
    )
    with pytest.raises(KakuriError) as caught:
        kk.codegen.plan(loaded(proto))
    assert [problem.where for problem in caught.value.problems] == ["one", "two"]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"target": "z80"}, "KK-G02"),
        ({"protect": 9}, "KK-G03"),
        ({"weights": "cloud"}, "KK-G03"),
        ({"entry": "int"}, "KK-G05"),
        ({"entry": 'x";system("id'}, "KK-G05"),
    ],
)
def test_settings_that_do_not_exist(settings: dict[str, str], code: str) -> None:
    with pytest.raises(KakuriError) as caught:
        kk.codegen.plan(loaded(network()), **settings)
    assert caught.value.code == code


def test_inputs_that_do_not_fit(tmp_path: Path) -> None:
    source = kk.codegen.plan(loaded(network()), target=TARGET).build(tmp_path)
    for inputs in (np.zeros((1, 3, 8, 9), np.float32), [image(), image()], {"other": image()}):
        with pytest.raises(KakuriError) as caught:
            source.check(inputs)
        assert caught.value.code == "KK-G23"


def test_an_index_from_outside_reads_inside(tmp_path: Path) -> None:
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    proto = model([node("Gather", ["t", "i"], ["y"])], {"i": [4]}, ["y"], {"t": table}, dtype=onnx.TensorProto.INT64)
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    source = kk.codegen.plan(loaded(proto), target=TARGET).build(tmp_path)
    got = source.run(np.array([99, -99, -1, 1 << 62], np.int64))[0]
    assert got.tolist() == table[[3, 0, 3, 3]].tolist()


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(network(), "net.onnx")
    assert main(["plan", "codegen", "net.onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arena_bytes"] > 0
    assert main(["build", "codegen", "net.onnx", "-o", "out", "--target", "plain", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["files"]) == {path.name for path in Path("out").iterdir()}
    assert main(["build", "codegen", "net.onnx", "-o", "out", "--json"]) == 4


@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None or shutil.which("qemu-aarch64") is None, reason="no cross compiler"
)
def test_arm64_under_emulation(tmp_path: Path) -> None:
    source = kk.codegen.plan(loaded(network()), target="arm64").build(tmp_path)
    assert source.check(image(), layers=True).worst.relative < 1e-5
