"""Split networks answer like whole ones; the policy is kept; sealed inputs reach the inner network only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import kakuri as kk
from kakuri.enclave.protected_input import Sender
from kakuri.enclave.sensor_session import SensorService
from kakuri.errors import KakuriError
from kakuri.trust.device_key import new_device_key
from kakuri.trust.signing import Signer
from kakuri.trust.wrapping_key import WrappingKey


def test_a_split_network_answers_like_the_whole(made):
    with kk.enclave.load(made.path, made.policy) as session:
        for _ in range(2):  # resident: loaded once, asked twice
            answer = session.run({"input": made.inputs})
            (scores,) = answer.outputs.values()
            np.testing.assert_allclose(scores, made.expected, atol=1e-5)
        assert answer.guarantee is session.guarantee
        assert session.guarantee.kind == "sandbox, not a TEE"
        assert session.guarantee.seccomp
        assert "TPM" in " ".join(session.guarantee.does_not_protect)


def test_large_batches_cross_in_pieces(made):
    with kk.enclave.load(made.path, made.policy) as session:
        item = session.package.facts.entering[0]
        boundary = np.random.default_rng(0).random((3000, *item.shape[1:]), dtype=np.float32)
        (together,) = session.inner.invoke({item.name: boundary}).outputs.values()
        assert together.shape == (3000, 10)
        (alone,) = session.inner.invoke({item.name: boundary[2999:]}).outputs.values()
        np.testing.assert_array_equal(together[2999:], alone)


def test_boundary_values_are_checked(made):
    with kk.enclave.load(made.path, made.policy) as session:
        item = session.package.facts.entering[0]
        good = np.zeros((1, *item.shape[1:]), np.float32)
        for wrong in ({}, {item.name: good.astype(np.float64)}, {item.name: good[:, :1]}, {item.name: good[:0]}):
            with pytest.raises(KakuriError) as caught:
                session.inner.invoke(wrong)
            assert caught.value.code == "KK-W14"
        session.inner.invoke({item.name: good})


def test_sealed_inputs_and_answers(made):
    with kk.enclave.load(made.path, made.policy) as session:
        facts, item = session.package.facts, session.package.facts.entering[0]
        sample = {item.name: np.random.default_rng(1).random(item.shape, dtype=np.float32)}
        (plain,) = session.inner.invoke(sample).outputs.values()
        sender = Sender(session.inner.public_key, facts.entering, facts.leaving)
        sealed = sender.seal(7, sample)
        assert sample[item.name].tobytes()[:64] not in sealed
        reply = session.inner.invoke_sealed(7, sealed)
        (opened,) = sender.open(7, reply).values()
        np.testing.assert_array_equal(opened, plain)
        for counter, message, text in (
            (7, sealed, "came before"),
            (8, sealed, "does not open"),
            (9, sender.seal(9, sample)[:-1] + b"\0", "does not open"),
        ):
            with pytest.raises(KakuriError, match=text):
                session.inner.invoke_sealed(counter, message)
        other = Sender(session.inner.public_key, facts.entering, facts.leaving)
        with pytest.raises(KakuriError) as caught:
            other.open(7, reply)
        assert caught.value.code == "KK-W15"


def test_a_service_for_sensors_needs_every_layer_inside(made, tmp_path):
    with kk.enclave.load(made.path, made.policy) as session, pytest.raises(KakuriError) as caught:
        SensorService(session, tmp_path / "eye.sock")
    assert caught.value.code == "KK-W16"
    assert not list(tmp_path.iterdir())


def test_attestation_covers_the_nonce_and_the_session(made):
    with kk.enclave.load(made.path, made.policy) as one, kk.enclave.load(made.path, made.policy) as two:
        a, again, other = one.inner.attest(bytes(32)), one.inner.attest(bytes(32)), one.inner.attest(b"\1" * 32)
        assert a == again
        assert len({a, other, two.inner.attest(bytes(32))}) == 3


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"minimum_version": 4}, "KK-W12", "older than the minimum version"),
        ({"secure_memory_bytes": 4096}, "KK-W11", "4096 bytes"),
        ({"signer": Signer.generate().public}, "KK-K41", "signer"),
    ],
)
def test_the_policy_is_kept(made, change, code, text):
    with pytest.raises(KakuriError, match=text) as caught:
        kk.enclave.load(made.path, replace(made.policy, **change))
    assert caught.value.code == code


def test_another_device_s_key_does_not_open_it(made, tmp_path):
    new_device_key(tmp_path / "other.kkey")
    with pytest.raises(KakuriError, match="another device's key") as caught:
        kk.enclave.load(made.path, replace(made.policy, device_key=tmp_path / "other.kkey"))
    assert caught.value.code == "KK-W12"


def test_a_partition_above_the_budget_is_refused_with_both_figures(made):
    with pytest.raises(KakuriError) as caught:
        kk.enclave.plan(made.net, layers="0:10", secure_memory="64 KiB")
    problem = caught.value.problem
    assert (problem.code, problem.limit) == ("KK-W01", "65536 bytes")
    assert int(problem.got.split()[0]) > 65536
    assert "layer4.gemm" in problem.where


def test_the_plan_states_the_worker_s_memory_exactly(made):
    with kk.enclave.load(made.path, made.policy) as session:
        assert session.guarantee.secure_bytes == made.plan.facts.secure_bytes


def test_ten_mib_is_a_limit_for_thirteen(tmp_path):
    """A connected layer of 13 MiB under the default budget."""
    from tests.unit.model.darknet_files import DarknetNet

    net = DarknetNet((1, 32, 52), np.random.default_rng(0))
    net.connected(2048, "relu")
    with pytest.raises(KakuriError) as caught:
        kk.enclave.plan(kk.load(net.save(tmp_path)))
    assert caught.value.problem.limit == f"{10 << 20} bytes"
    assert "layer0.gemm: 13.0 MiB" in caught.value.problem.where


@pytest.mark.parametrize("size", ["ten", "10 MB", "-1", 0, -1, "0 MiB", "1.5 MiB"])
def test_sizes_that_are_none(made, size):
    with pytest.raises(KakuriError) as caught:
        kk.enclave.plan(made.net, secure_memory=size)
    assert caught.value.code == "KK-W02"


def test_weights_of_element_wise_steps_are_sealed_too():
    """Coefficients of an activation stand in a group of operands, not in a field of their own."""
    net = kk.load(kk.zoo.weights.path("mnist-3layer-swish-rg5-deg2"))
    plan = kk.enclave.plan(net)
    assert any(tensor.name.startswith("act") for tensor in plan.tensors)


def test_a_package_may_be_sealed_under_a_symmetric_key_and_no_other_key_opens_it(made, tmp_path):
    key, path = WrappingKey.generate(), tmp_path / "wrapping.kkey"
    key.save(path)
    package = made.plan.build(tmp_path / "net.kkr", WrappingKey.load(path), made.signer)
    with kk.enclave.load(package, replace(made.policy, device_key=path)) as session:
        got = session.run({"input": made.inputs}).outputs[made.plan.facts.outputs[0]]
    np.testing.assert_allclose(got, made.expected, atol=1e-5)
    WrappingKey.generate().save(tmp_path / "other.kkey")
    for other in (tmp_path / "other.kkey", made.key):
        with pytest.raises(KakuriError) as caught:
            kk.enclave.load(package, replace(made.policy, device_key=other))
        assert caught.value.code == "KK-W12"
    with pytest.raises(KakuriError) as caught:  # and a wrapping key opens nothing that HPKE sealed
        kk.enclave.load(made.path, replace(made.policy, device_key=path))
    assert caught.value.code == "KK-W12"
    assert repr(key) == "WrappingKey()"
