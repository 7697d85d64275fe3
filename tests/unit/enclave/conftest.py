"""One small network, sealed once for all tests of the room: building compiles and links a program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import kakuri as kk
from kakuri.enclave.backends.contract import Policy
from kakuri.enclave.planning import EnclavePlan
from kakuri.trust.device_key import Recipient, new_device_key
from kakuri.trust.signing import Signer
from tests.unit.model.darknet_files import lenet


@dataclass(frozen=True)
class Made:
    """A built package and everything that its tests need."""

    folder: Path
    net: ir.Model
    plan: EnclavePlan
    recipient: Recipient
    signer: Signer
    path: Path
    inputs: np.ndarray
    expected: np.ndarray

    @property
    def key(self) -> Path:
        return self.folder / "device.kkey"

    @property
    def policy(self) -> Policy:
        return Policy(self.signer.public, self.key)

    @property
    def secret_bytes(self) -> bytes:
        """The inner weights as the worker holds them."""
        return self.plan.code.program.weights.blob()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    if not Path("/usr/include/openssl/evp.h").exists():
        pytest.skip("libssl-dev is not installed: the worker is linked with libcrypto")
    folder = tmp_path_factory.mktemp("enclave")
    net = kk.load(lenet(np.random.default_rng(5), side=14).save(folder))
    plan = kk.enclave.plan(net, layers="4:8")
    recipient, signer = new_device_key(folder / "device.kkey"), Signer.generate()
    path = plan.build(folder / "lenet.kkr", recipient, signer, version=3, minimum_version=2)
    inputs = np.random.default_rng(6).random((3, 1, 14, 14), dtype=np.float32)
    expected = kk.model.reference_outputs(net, inputs)
    return Made(folder, net, plan, recipient, signer, path, inputs, expected)
