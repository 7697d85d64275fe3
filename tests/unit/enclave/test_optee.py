"""The emitted Trusted Application and its client, run whole on a host implementation of the TEE's functions.

Both are compiled exactly as emitted, with AddressSanitizer and UndefinedBehaviorSanitizer; only the libraries below
them (``optee_host``) are ours. An undefined-symbol test and a build for arm64 say what a device's build will need.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import kakuri as kk
from kakuri.cli.main import main
from kakuri.enclave import optee
from kakuri.enclave.optee import project
from kakuri.errors import KakuriError
from kakuri.trust.device_key import Recipient
from kakuri.trust.signing import Signer
from kakuri.trust.wrapping_key import WrappingKey
from tests.unit.model.darknet_files import lenet

HOST = Path(__file__).with_name("optee_host")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
OPTEE_HAS = {"memcpy", "memmove", "memset", "memcmp", "strlen"}
PARTITIONS = ("0:10", "1:10", "5:10", "9:10")


@dataclass
class Device:
    """A built project, its program, and a TEE whose storage is a file."""

    folder: Path
    plan: optee.OpteePlan
    signer: Signer

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KAKURI_TEST_DEVICE": str(self.folder / "storage")}

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(self.folder / program), *map(str, arguments)]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=3000
        )

    def key(self) -> Recipient:
        done = self.run("client", "key")
        assert done.returncode == 0, done.stderr
        return Recipient.from_hex(done.stdout.strip())

    def answer(self, inputs: np.ndarray) -> tuple[bytes, str]:
        (self.folder / "inputs").write_bytes(np.ascontiguousarray(inputs, np.float32).tobytes())
        (self.folder / "answers").unlink(missing_ok=True)
        done = self.run("client", "run", "sealed.bin", "inputs", "answers")
        return ((self.folder / "answers").read_bytes(), "") if done.returncode == 0 else (b"", done.stderr)


def compile_units(
    folder: Path, plan: optee.OpteePlan, units: dict[Path, tuple[str, ...]], extra: tuple[str, ...]
) -> None:
    """``NAME.o`` for every source; the API's headers are ours, everything else is as emitted."""
    api = Path(optee.__file__).parent / "api"
    for source, flags in units.items():
        include = (f"-I{folder / 'ta'}", f"-I{folder / 'host'}", f"-I{api}")
        command = [plan.code.target.compiler, *flags, *extra, *include, "-c", str(source), "-o", f"{source.name}.o"]
        subprocess.run(command, cwd=folder, check=True)


def trusted_units(folder: Path, plan: optee.OpteePlan) -> dict[Path, tuple[str, ...]]:
    return {folder / "ta" / name: flags for name, flags in project.units(plan.code).items()}


def compile_all(folder: Path, plan: optee.OpteePlan) -> None:
    """``client`` and ``fuzz``: the emitted sources with the host's TEE below them."""
    ours = ("-std=gnu11", "-O1", "-w")
    units = trusted_units(folder, plan)
    units |= {folder / "host" / name: ours for name in ("client.c", "main.c")}
    units |= {HOST / name: ours for name in ("tee.c", "teec.c", "fuzz.c")}
    compile_units(folder, plan, units, SANITIZERS)
    shared = [f"{name}.o" for name in (*project.units(plan.code), "tee.c")]
    for program, own in (("client", ["client.c.o", "main.c.o", "teec.c.o"]), ("fuzz", ["fuzz.c.o"])):
        command = [plan.code.target.compiler, *SANITIZERS, *shared, *own, "-o", program, "-lcrypto"]
        subprocess.run(command, cwd=folder, check=True)


def make(folder: Path, net, layers: str, **settings) -> Device:
    if not Path("/usr/include/openssl/evp.h").exists():
        pytest.skip("libssl-dev is not installed: the host's TEE is made of libcrypto")
    plan = optee.plan(net, layers=layers, target="x86-64-sse2", **settings)
    device = Device(folder, plan, Signer.generate())
    plan.build(folder, Recipient(bytes([9, *[0] * 31])), device.signer)
    compile_all(folder, plan)
    plan.build(folder, device.key(), device.signer, version=2, overwrite=True)
    return device


def boundary(plan: optee.OpteePlan, inputs: np.ndarray) -> np.ndarray:
    """What enters the inner layers for each of ``inputs``, sample by sample."""
    if plan.cut.before is None:
        return inputs
    names = [value.name for value in plan.cut.entering]
    assert len(names) == 1
    return kk.model.reference_outputs(plan.cut.before, inputs)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    return kk.load(lenet(np.random.default_rng(5), side=14).save(folder))


@pytest.fixture(scope="module")
def device(net, tmp_path_factory):
    return make(tmp_path_factory.mktemp("device"), net, "4:10")


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(6).random((70, 1, 14, 14), dtype=np.float32)


def test_it_answers_as_the_unsplit_network_does(net, device, inputs):
    """More samples than one call takes."""
    answers, refused = device.answer(boundary(device.plan, inputs))
    assert refused == ""
    got = np.frombuffer(answers, np.float32).reshape(70, 10)
    np.testing.assert_allclose(got, kk.model.reference_outputs(net, inputs), atol=1e-5)


def test_it_answers_as_the_process_backend_does(made, device):
    """The same network with other layers inside."""
    with kk.enclave.load(made.path, made.policy) as session:
        ours = session.run({"input": made.inputs}).outputs[made.plan.facts.outputs[0]]
    answers, _ = device.answer(boundary(device.plan, made.inputs))
    np.testing.assert_allclose(np.frombuffer(answers, np.float32).reshape(ours.shape), ours, atol=1e-5)


def test_the_device_keeps_its_key_and_another_device_cannot_open_the_package(device, inputs):
    assert device.key() == device.key()
    storage = device.folder / "storage"
    kept = storage.read_bytes()
    try:
        storage.unlink()
        assert "load: the Trusted Application says 0xffff3071" in device.answer(boundary(device.plan, inputs[:1]))[1]
    finally:
        storage.write_bytes(kept)


def test_an_older_package_is_refused_once_a_newer_one_forbade_it(device, inputs):
    key, sample = device.key(), boundary(device.plan, inputs[:1])
    kept, storage = (device.folder / "sealed.bin").read_bytes(), (device.folder / "storage").read_bytes()
    try:
        device.plan.build(device.folder, key, device.signer, version=4, minimum_version=4, overwrite=True)
        assert device.answer(sample)[1] == ""
        device.plan.build(device.folder, key, device.signer, version=3, overwrite=True)
        assert "0xf0100005" in device.answer(sample)[1]
    finally:
        (device.folder / "sealed.bin").write_bytes(kept)
        (device.folder / "storage").write_bytes(storage)


def test_another_signer_is_refused(device, inputs):
    kept = (device.folder / "sealed.bin").read_bytes()
    try:
        sealed = device.plan._sealed(device.key(), Signer.generate(), 2, 1)
        (device.folder / "sealed.bin").write_bytes(sealed)
        assert "0xffff3072" in device.answer(boundary(device.plan, inputs[:1]))[1]
    finally:
        (device.folder / "sealed.bin").write_bytes(kept)


def test_attestation_binds_code_device_package_and_nonce(device):
    nonce = bytes(range(32))
    (device.folder / "nonce").write_bytes(nonce)
    done = device.run("client", "attest", "sealed.bin", "nonce")
    index = (device.folder / "sealed.bin").read_bytes()
    code = project.code_digest(device.plan.code.files(), device.plan.answer)
    text = b"kakuri-enclave-attest-1\n" + nonce + code + device.key().public_key + index[8:32]
    assert done.stdout.strip() == hashlib.sha256(text).hexdigest()
    (device.folder / "nonce").write_bytes(nonce[:31])
    assert device.run("client", "attest", "sealed.bin", "nonce").returncode == 1


def test_every_run_states_the_guarantee(device):
    first = (device.folder / "GUARANTEE.txt").read_text().splitlines()[0]
    assert first.startswith("optee: a TEE, as sound as")
    assert first in str(device.plan)
    assert device.run("client", "key").stderr.splitlines() == [first]


def test_values_that_are_no_numbers_are_refused(device, inputs):
    sample = boundary(device.plan, inputs[:1]).copy()
    sample.reshape(-1)[7] = np.inf
    assert "invoke: the Trusted Application says 0xffff0005" in device.answer(sample)[1]


@pytest.mark.parametrize(
    "count", [3_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])], ids=str
)
def test_mutated_packages_boundaries_and_parameters(device, inputs, count):
    (device.folder / "valid").write_bytes(boundary(device.plan, inputs[:1]).tobytes())
    done = device.run("fuzz", "sealed.bin", "valid", count, 1)
    assert (done.returncode, done.stdout) == (0, f"{count} refused or answered\n"), done.stderr[-2000:]


def test_only_what_the_policy_allows_leaves(net, inputs, tmp_path):
    expected = kk.model.reference_outputs(net, inputs[:5])
    labels = make(tmp_path / "label", net, "9:10", answer="label")
    answers, _ = labels.answer(boundary(labels.plan, inputs[:5]))
    assert np.frombuffer(answers, np.uint32).tolist() == expected.argmax(axis=1).tolist()
    rounded = make(tmp_path / "rounded", net, "9:10", answer="rounded:2")
    answers, _ = rounded.answer(boundary(rounded.plan, inputs[:5]))
    got = np.frombuffer(answers, np.float32).reshape(5, 10)
    np.testing.assert_allclose(got, np.round(expected, 2), atol=0.0101)
    np.testing.assert_allclose(got * 100, np.round(got * 100), atol=1e-4)


def symbols(object_file: Path, *options: str) -> set[str]:
    listed = subprocess.run(["nm", *options, str(object_file)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in listed.splitlines() if line.strip()}


def test_it_needs_nothing_that_op_tee_lacks(device, tmp_path):
    shutil.copytree(device.folder / "ta", tmp_path / "ta")
    compile_units(tmp_path, device.plan, trusted_units(tmp_path, device.plan), ())
    objects = list(tmp_path.glob("*.o"))
    defined = set().union(*(symbols(path, "--defined-only") for path in objects))
    wanted = set().union(*(symbols(path, "-u") for path in objects)) - defined - {"_GLOBAL_OFFSET_TABLE_"}
    assert "TEE_AEDecryptFinal" in wanted
    assert {name for name in wanted if not name.startswith("TEE_")} <= OPTEE_HAS


@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-gcc") is None, reason="no compiler for arm64")
def test_for_arm64_it_fits_the_memory_that_it_names_or_is_refused(net, tmp_path):
    plan = optee.plan(net, layers="4:10")
    assert plan.used_bytes < 300_000
    plan.build(tmp_path, Recipient(bytes([9, *[0] * 31])), Signer.generate())
    header = (tmp_path / "ta" / "user_ta_header_defines.h").read_text()
    assert f"#define TA_STACK_SIZE {plan.footprint.stack_bytes}\n" in header
    assert re.search(r"#define TA_DATA_SIZE \d+\n", header)
    with pytest.raises(KakuriError) as caught:
        optee.plan(net, layers="4:10", memory="128 KiB")
    problem = caught.value.problem
    assert problem.code == "KK-W01"
    assert problem.got == f"{plan.used_bytes} bytes"
    assert problem.limit == f"{128 << 10} bytes"
    assert "layer4" in problem.where


@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-gcc") is None, reason="no compiler for arm64")
def test_the_command_line_plans_and_builds_it(net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = lenet(np.random.default_rng(5), side=14).save(tmp_path)
    common = ["enclave", str(model), "--layers", "9:10", "--backend", "optee", "--answer", "label"]
    assert main(["plan", *common]) == 0
    assert "what leaves is the label alone" in capsys.readouterr().out
    assert main(["build", *common, "-o", "out", "--for", "09" + 31 * "00"]) == 0
    made = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
    assert made >= {"sealed.bin", "GUARANTEE.txt", "ta/Makefile", "ta/sub.mk", "ta/user_ta_header_defines.h"}
    assert made >= {"host/Makefile", "host/client.c", "host/main.c", "before.onnx"}
    assert main(["build", *common, "-o", "out", "--for", "09" + 31 * "00"]) == 4
    assert main(["build", "enclave", str(model), "--answer", "label", "-o", "net.kkr", "--for", "d.kkey"]) == 2
    WrappingKey.generate().save(tmp_path / "shared.kkey")
    assert main(["build", *common, "-o", "other", "--for", "shared.kkey"]) == 5
    capsys.readouterr()


def test_answers_that_make_no_sense_are_refused(net):
    for layers, answer in (("0:10", "rounded:9"), ("0:10", "everything"), ("0:4", "label")):
        with pytest.raises(KakuriError) as caught:
            optee.plan(net, layers=layers, answer=answer, target="x86-64-sse2")
        assert caught.value.code == "KK-W30"


def test_the_project_holds_no_weight_in_the_clear(device):
    blob = device.plan.code.program.weights.blob()
    for file in device.folder.rglob("*"):
        if file.is_file() and file.name not in {"inputs", "answers"}:
            data = file.read_bytes()
            assert not any(blob[at : at + 32] in data for at in range(0, len(blob) - 600, 4096)), file


@pytest.mark.slow
@pytest.mark.parametrize("side", [14, 28, 56])
@pytest.mark.parametrize("layers", PARTITIONS)
def test_every_partition_and_size(layers, side, tmp_path):
    net = kk.load(lenet(np.random.default_rng(side), side=side).save(tmp_path))
    inputs = np.random.default_rng(7).random((3, 1, side, side), dtype=np.float32)
    device = make(tmp_path / "device", net, layers)
    answers, refused = device.answer(boundary(device.plan, inputs))
    assert refused == ""
    got = np.frombuffer(answers, np.float32).reshape(3, 10)
    np.testing.assert_allclose(got, kk.model.reference_outputs(net, inputs), atol=1e-5)
