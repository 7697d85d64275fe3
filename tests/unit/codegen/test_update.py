"""New weights for old code: signed, sealed, and only for the project they were made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import kakuri as kk
from kakuri.cli.main import main
from kakuri.codegen.built import open_project
from kakuri.codegen.update import install_update, plan_like, write_update
from kakuri.errors import KakuriError
from kakuri.trust.signing import Signer
from tests.unit.codegen.test_levels import KEY, TARGET, image, network
from tests.unit.model.builders import loaded

SIGNER = Signer.generate()


def retrained() -> onnx.ModelProto:
    """The same network with other weights."""
    proto = network()
    for tensor in proto.graph.initializer:
        if tensor.name.startswith(("w", "f", "last")):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(0.7), tensor.name))
    return proto


def plan(proto: onnx.ModelProto, level: int = 3, **settings: object) -> kk.codegen.CodegenPlan:
    given = {"key": KEY, "weights": "external"} | settings
    return kk.codegen.plan(loaded(proto), target=TARGET, protect=level, **given)


@pytest.mark.parametrize("level", [3, 4])
def test_the_old_program_computes_with_the_new_weights(tmp_path: Path, level: int) -> None:
    folder, new = tmp_path / "out", plan(retrained(), level)
    plan(network(), level).build(folder)
    code = {path.name: path.read_bytes() for path in folder.glob("*.[ch]")}
    before = open_project(folder).run([image()], key=KEY)[0]
    write_update(tmp_path / "new.kkr", new, SIGNER, version=2)
    assert install_update(tmp_path / "new.kkr", SIGNER.public, folder) == 2
    after = open_project(folder).run([image()], key=KEY)[0]
    expected = kk.model.reference_outputs(loaded(retrained()), image())
    assert np.abs(after - expected).max() < 1e-5 * np.abs(expected).max()
    assert not np.allclose(after, before)
    assert code == {path.name: path.read_bytes() for path in folder.glob("*.[ch]")}


def test_what_does_not_belong_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    plan(network()).build(folder)
    write_update(tmp_path / "good.kkr", plan(retrained()), SIGNER, version=3)
    write_update(tmp_path / "old.kkr", plan(network()), SIGNER, version=2)
    write_update(tmp_path / "other_key.kkr", plan(retrained(), key=bytes(32)), SIGNER, version=4)
    write_update(tmp_path / "other_entry.kkr", plan(retrained(), entry="answer"), SIGNER, version=4)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(KakuriError) as caught:
        install_update(tmp_path / "good.kkr", Signer.generate().public, folder)
    assert caught.value.code == "KK-K41"
    for name in ("other_entry.kkr", "other_key.kkr"):  # another key, another order of arrays, other code
        with pytest.raises(KakuriError) as caught:
            install_update(tmp_path / name, SIGNER.public, folder)
        assert caught.value.code == "KK-G25"
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    install_update(tmp_path / "good.kkr", SIGNER.public, folder)
    with pytest.raises(KakuriError) as caught:
        install_update(tmp_path / "old.kkr", SIGNER.public, folder)
    assert "too old" in str(caught.value)


def test_the_command_line(tmp_path: Path) -> None:
    for name, proto in (("old", network()), ("new", retrained())):
        onnx.save(proto, tmp_path / f"{name}.onnx")
    out, key, package = (str(tmp_path / name) for name in ("out", "weights.kkey", "new.kkr"))
    sealed = ["--protect", "3", "--weights", "external", "--key", key, "--target", TARGET]
    assert main(["build", "codegen", str(tmp_path / "old.onnx"), "-o", out, *sealed]) == 0
    make = ["update", str(tmp_path / "new.onnx"), out, "-o", package, "--key", key, "--version", "2"]
    assert main(make) == 0
    install = ["update", "install", package, out, str(tmp_path / "maker.pub")]
    before = (tmp_path / "out" / "infer_weights.bin").read_bytes()
    other = Signer.generate().public
    other.save(tmp_path / "other.pub")
    assert main([*install[:-1], str(tmp_path / "other.pub")]) != 0
    assert (tmp_path / "out" / "infer_weights.bin").read_bytes() == before
    assert main(install) == 0
    assert (tmp_path / "out" / "infer_weights.bin").read_bytes() != before
    np.save(tmp_path / "x.npy", image())
    assert main(["run", out, key, str(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npy")]) == 0
    expected = kk.model.reference_outputs(loaded(retrained()), image())
    assert np.abs(np.load(tmp_path / "y.npy") - expected).max() < 1e-5 * np.abs(expected).max()


def test_an_update_is_made_only_for_the_code_that_is_there(tmp_path: Path) -> None:
    plan(network()).build(tmp_path / "out")
    with pytest.raises(KakuriError, match="KK-G25"):
        plan_like(loaded(network()), tmp_path / "out", bytes(32))
    assert plan_like(loaded(retrained()), tmp_path / "out", KEY).entry == "infer"


@pytest.mark.parametrize("settings", [{"weights": "embedded"}, {"level": 2}])
def test_other_forms_have_no_updates(tmp_path: Path, settings: dict[str, object]) -> None:
    with pytest.raises(KakuriError) as caught:
        write_update(tmp_path / "x.kkr", plan(network(), **settings), SIGNER, version=1)
    assert caught.value.code == "KK-G25"
