"""Protection levels: the same answers, and what each of them promises about files and memory."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import kakuri as kk
from kakuri.attacks.extraction import Artefact
from kakuri.attacks.extraction.size_tables import SizeTables
from kakuri.codegen.built import open_project
from kakuri.codegen.kernels.integer.dot import Dot
from kakuri.codegen.prepare import prepare
from kakuri.codegen.protect.channels import analyse
from kakuri.codegen.protect.draws import Draws
from kakuri.codegen.protect.permute import permute
from kakuri.codegen.protect.seal import CODE_BYTES, IDENTITY_BYTES, places, seal
from kakuri.errors import KakuriError
from kakuri.model.importers.tflite.load import convert
from kakuri.model.reference import reference_outputs
from tests.unit.model.builders import loaded, model
from tests.unit.model.tflite.oracle import feeds_for
from tests.unit.model.tflite.test_quantized_operators import linear

node = helper.make_node
TARGET = "x86-64-sse2"
KEY = bytes(range(32))
FORMS = [(1, "embedded"), (2, "external"), *((level, side) for level in (3, 4) for side in ("embedded", "external"))]


def network() -> onnx.ModelProto:
    """Residual sum, depthwise, join, pooling, flattening, dense: every way that channels travel."""
    random = np.random.default_rng(0)
    shapes = {"w0": (24, 3, 3, 3), "b0": (24,), "w1": (24, 24, 3, 3), "d": (24, 1, 3, 3), "w2": (40, 24, 1, 1)}
    shapes |= {"w3": (16, 40, 1, 1), "fc": (56 * 16, 64), "fb": (64,), "last": (64, 5), "scale": (1, 24, 1, 1)}
    constants = {name: (0.3 * random.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1]),
        node("Relu", ["c0"], ["r0"]),
        node("Conv", ["r0", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        node("Add", ["c1", "r0"], ["a"]),
        node("Relu", ["a"], ["r1"]),
        node("Mul", ["r1", "scale"], ["m"]),
        node("Conv", ["m", "d"], ["dw"], pads=[1, 1, 1, 1], group=24),
        node("Clip", ["dw", "low", "high"], ["cl"]),
        node("Conv", ["cl", "w2"], ["c2"]),
        node("MaxPool", ["c2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p", "w3"], ["c3"]),
        node("Concat", ["c3", "p"], ["j"], axis=1),
        node("Flatten", ["j"], ["f"]),
        node("Gemm", ["f", "fc", "fb"], ["g"]),
        node("Relu", ["g"], ["h"]),
        node("MatMul", ["h", "last"], ["y"]),
    ]
    constants |= {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    return model(nodes, {"x": [1, 3, 8, 8]}, ["y"], constants)


def image() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)


def plan(level: int, **settings: object) -> kk.codegen.CodegenPlan:
    key = KEY if level >= 2 else None
    return kk.codegen.plan(loaded(network()), target=TARGET, protect=level, key=key, **settings)


@pytest.mark.parametrize(("level", "weights"), FORMS)
def test_layers_and_outputs_agree_with_the_model(tmp_path: Path, level: int, weights: str) -> None:
    found = plan(level, weights=weights).build(tmp_path).check(image(), layers=True)
    assert len(found.differences) > 5
    assert found.worst.relative < 1e-5


@pytest.mark.needs_models
@pytest.mark.skipif("KAKURI_MODELS" not in os.environ, reason="set KAKURI_MODELS to a folder with tflite/*.tflite")
@pytest.mark.parametrize("level", [2, 4])
def test_quantised_networks_stay_exact(tmp_path: Path, level: int) -> None:
    net = kk.load(Path(os.environ["KAKURI_MODELS"]) / "tflite" / "mlperf_tiny_kws_i8.tflite")
    source = kk.codegen.plan(net, target="x86-64-avx512vnni", protect=level, key=KEY).build(tmp_path)
    shape = source.plan.program.inputs[0].shape
    sound = np.random.default_rng(2).integers(-128, 128, shape, np.int8)
    assert source.check(sound).worst.absolute == 0
    found = analyse(prepare(net))
    assert sum(not found.is_pinned(group) for group in range(len(found.sizes))) >= 4


@pytest.mark.parametrize("level", [1, 4])
def test_weights_beyond_8_bits_are_cut_with_their_columns(tmp_path: Path, level: int) -> None:
    options = {"StrideW": 1, "StrideH": 1, "Padding": 0}
    shape, taps, out = [1, 9, 10, 12], [100, 3, 3, 12], [1, 9, 10, 100]
    net = convert(linear("UINT8", "CONV_2D", shape, taps, out, table="Conv2DOptions", options=options, zero=17))
    plan = kk.codegen.plan(net, target=TARGET, protect=level, key=KEY if level > 1 else None)
    parts = [part.operation for parts in plan.program.parts for part in parts]
    cut = [part for part in parts or plan.program.operations if isinstance(part, Dot)]
    assert all(part.rest is not None for part in cut)
    assert len(cut) > 4 or level == 1
    assert plan.build(tmp_path).check(feeds_for(net)).worst.absolute == 0


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_equal_inputs_give_equal_bytes(level: int) -> None:
    files = plan(level).files()
    assert files == plan(level).files()
    assert json.loads(files["build.json"])["protect"] == level
    assert KEY not in b"".join(files.values())


def test_another_key_gives_another_order() -> None:
    net = loaded(network())
    first, second = (
        kk.codegen.plan(net, target=TARGET, protect=2, key=key).files()["infer_weights.bin"] for key in (KEY, bytes(32))
    )
    assert first != second
    assert len(first) == len(second)


def test_channels_move_and_the_answers_do_not() -> None:
    net = loaded(network())
    moved = permute(net, Draws(KEY))
    before, after = (np.asarray(m.graph.initializers["w1"].const_value.numpy()) for m in (net, moved))
    assert not np.array_equal(before, after)
    assert len(np.setdiff1d(np.abs(np.frexp(before)[0]), np.abs(np.frexp(after)[0]))) == 0  # exact: powers of two
    expected, got = (reference_outputs(m, image()) for m in (net, moved))
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


def test_what_the_analysis_does_not_know_keeps_its_channels() -> None:
    net = loaded(network())
    found = analyse(net)
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Softmax", ["c"], ["s"], axis=1), node("Relu", ["s"], ["y"])]
    weights = {"w": np.ones((5, 3, 1, 1), np.float32)}
    softmax = loaded(model(nodes, {"x": [1, 3, 4, 4]}, ["y"], weights))
    pinned = analyse(softmax)
    assert all(pinned.is_pinned(use.runs[0].group) for use in pinned.uses)
    free = [group for group in range(len(found.sizes)) if not found.is_pinned(group)]
    assert free
    assert all(found.is_pinned(run.group) for run in found.axes.get(net.graph.outputs[0], ()))


def test_no_symbols_from_level_1(tmp_path: Path) -> None:
    path = plan(1).build(tmp_path).compile(tmp_path, shared=True)
    names = subprocess.run(["nm", path], capture_output=True, text=True, check=False)
    exported = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    assert "no symbols" in names.stderr
    assert [line.split()[-1] for line in exported.splitlines()] == ["infer"]
    sizes = SizeTables().claim(Artefact("library", {"so": path.read_bytes()}), np.random.default_rng(0))
    assert not sizes & {(27, 24), (216, 24), (24, 40), (40, 16), (896, 64), (64, 5)}


@pytest.mark.parametrize("level", [3, 4])
def test_the_weights_are_in_no_file(level: int) -> None:
    plain = plan(0).files()["infer_weights.bin"]
    parts = [plain[at : at + 16] for at in range(0, len(plain) - 256, 16) if any(plain[at : at + 16])]
    sealed = b"".join(plan(level).files().values())
    assert len(parts) > 1000
    assert not any(part in sealed for part in parts)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_the_cmake_project_of_a_sealed_level_builds_and_runs(tmp_path: Path) -> None:
    source = plan(3).build(tmp_path)
    for command in (["cmake", "-S", ".", "-B", "b"], ["cmake", "--build", "b"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "in").write_bytes(image().tobytes())
    (tmp_path / "key").write_bytes(KEY)
    subprocess.run(["b/infer_main", "in", "out", "1", "key"], cwd=tmp_path, check=True, capture_output=True)
    got = np.frombuffer((tmp_path / "out").read_bytes(), np.float32)
    assert np.array_equal(got, source.run(image())[0].reshape(-1))
    listed = subprocess.run(["nm", "b/infer_main"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "no symbols" in listed.stderr


@pytest.mark.parametrize("level", [3, 4])
@pytest.mark.parametrize("change", ["blob", "key"])
def test_what_was_changed_is_refused(tmp_path: Path, level: int, change: str) -> None:
    made = plan(level, weights="external")
    project, key = made.build(tmp_path).project, KEY
    blob = bytearray((tmp_path / "infer_weights.bin").read_bytes())
    if change == "blob":
        blob[len(blob) // 2] ^= 1
        (tmp_path / "infer_weights.bin").write_bytes(blob)
    else:
        key = bytes(32)
    with pytest.raises(KakuriError) as caught:
        project.run([image()], key=key)
    assert caught.value.code == "KK-G22"
    assert "refused" in str(caught.value)


def test_a_refusal_leaves_nothing_in_the_callers_memory(tmp_path: Path) -> None:
    """Level 4, a cipher that opens some pieces and then no more."""
    made = plan(4)
    (tmp_path / "few.c").write_text(
        '#include "kk_open.h"\n#include <string.h>\n'
        "int few(void *key, const void *label, size_t n, const void *sealed, size_t bytes, void *plain)\n"
        "{ (void)label; (void)n; (void)sealed; int *left = key; memset(plain, 0x3c, bytes); return !(*left)--; }\n"
    )
    made.build(tmp_path)
    library = made.build(tmp_path, overwrite=True).compile(tmp_path, shared=True)
    subprocess.run(["cc", "-shared", "-fPIC", "few.c", "-o", "few.so"], cwd=tmp_path, check=True)
    function, few = ctypes.CDLL(str(library)).infer, ctypes.CDLL(str(tmp_path / "few.so")).few
    memory = np.full(made.program.arena_bytes + 64, 0xA5, np.uint8)
    arena, output, left = memory[-memory.ctypes.data % 64 :], np.full(5, 7, np.float32), ctypes.c_int(6)
    size = made.program.arena_bytes
    pointers = [(ctypes.c_void_p * 1)(array.ctypes.data) for array in (image(), output)]
    opener = ctypes.cast(few, ctypes.c_void_p)
    at = ctypes.c_void_p(arena.ctypes.data)
    assert function(*pointers, at, ctypes.c_size_t(size), opener, ctypes.byref(left)) == 6
    assert not output.any()
    assert not arena[:size].any()


def test_pieces_of_another_blob_or_place_do_not_open() -> None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    pieces, code = [b"one" * 20, b"two" * 20], bytes(range(CODE_BYTES))
    sealed, other = seal(pieces, KEY, code), seal([pieces[0], b"new" * 20], KEY, code)
    start, end, _ = places([60, 60])

    def opened(blob: bytes, identity: bytes, number: int) -> bytes:
        label = code + identity + number.to_bytes(4, "little")
        return AESGCM(KEY).decrypt(blob[start : start + 12], blob[start + 12 : end], label)

    identity = sealed[:IDENTITY_BYTES]
    assert opened(sealed, identity, 0) == pieces[0]
    assert other[:IDENTITY_BYTES] != identity
    for blob, name, number in ((sealed, identity, 1), (sealed, other[:IDENTITY_BYTES], 0), (other, identity, 0)):
        with pytest.raises(InvalidTag):
            opened(blob, name, number)


def test_the_window_is_a_small_part_of_the_weights() -> None:
    made = plan(4)
    plain = len(made.program.weights.blob())
    window = made.to_dict()["window_bytes"]
    assert all(len(part.plain) < window for parts in made.program.parts for part in parts)
    assert window < 0.05 * plain
    assert sum(len(part.plain) for parts in made.program.parts for part in parts) > 0.9 * plain


@pytest.mark.parametrize(
    "settings", [{"protect": 2}, {"protect": 1, "key": KEY}, {"key": KEY}, {"protect": 3, "key": b"short"}]
)
def test_keys_that_do_not_fit(settings: dict[str, object]) -> None:
    with pytest.raises(KakuriError) as caught:
        kk.codegen.plan(loaded(network()), **settings)
    assert caught.value.code == "KK-G06"


def test_a_project_runs_from_its_folder(tmp_path: Path) -> None:
    made = plan(3)
    expected = made.build(tmp_path).run(image())[0]
    assert np.array_equal(open_project(tmp_path).run([image()], key=KEY)[0], expected)


@pytest.mark.parametrize("change", ["file", "record", "missing", "name"])
def test_a_changed_project_is_not_run(tmp_path: Path, change: str) -> None:
    plan(0).build(tmp_path)
    record = tmp_path / "build.json"
    if change == "file":
        (tmp_path / "infer_steps.h").write_text("int x;")
    elif change == "missing":
        (tmp_path / "main.c").unlink()
    elif change == "record":
        record.write_text(json.dumps(json.loads(record.read_text()) | {"protect": 9}))
    else:
        record.write_text(record.read_text().replace('"main.c"', '"../main.c"'))
    with pytest.raises(KakuriError) as caught:
        open_project(tmp_path)
    assert caught.value.code == ("KK-F12" if change == "missing" else "KK-G24")
