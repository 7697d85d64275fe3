"""Encrypted inference from image to answer: real keys, real weights, real digits."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from kakuri import encrypted, model, zoo
from kakuri.encrypted import Answer, Client, Query, Server
from kakuri.encrypted.noise import SAFETY
from kakuri.errors import KakuriError, KakuriWarning
from kakuri.zoo.networks import ResidualBlock
from tests.unit.encrypted.models import small_network


@pytest.fixture(scope="module")
def digits():
    sample = zoo.samples.mnist_sample()
    return np.asarray(sample.images, dtype=np.float64), sample.labels


@pytest.fixture(scope="module")
def plan(digits):
    net = model.load(zoo.weights.path("mnist-3layer-square"))
    return encrypted.plan(net, packing="channel", calibration=digits[0])


@pytest.fixture(scope="module")
def sides(plan):
    return plan.build(threads=2)


@pytest.fixture(scope="module")
def answered(sides, digits):
    client, server = sides
    query = client.encrypt(digits[0][0])
    return query, server.run(query)


def test_encrypted_answers_equal_plaintext_answers(plan, sides, digits):
    client, server = sides
    images = digits[0][:5]
    expected = model.reference_outputs(plan.net, images.astype(np.float32))
    for image, scores in zip(images, expected, strict=True):
        answer = client.decrypt(
            Answer.from_bytes(server.run(Query.from_bytes(client.encrypt(image).to_bytes())).to_bytes())
        )
        assert answer[0].argmax() == scores.argmax()
        # float32 reference and weights rounded to 2^-25 stand beside the encryption's own error
        assert np.abs(answer[0] - scores).max() < SAFETY * plan.compiled.error + 2e-3
        assert (answer * 2.0**plan.deployment.precision_bits % 1.0 == 0.0).all()


def test_counters_equal_the_dry_run(plan, sides, answered):
    _, server = sides
    assert server.last_profile is not None
    shown = ("hmulplain", "hsquare", "rotation", "rotation_identity", "relinearize", "rescale", "mask_multiply")
    executed = server.last_profile.total()
    assert {k: executed[k] for k in shown} == {k: plan.counts[k] for k in shown}


def test_two_encryptions_of_one_image_share_nothing(sides, digits):
    client, _ = sides
    first, second = (client.encrypt(digits[0][0]).ciphertexts[0] for _ in range(2))
    assert len(first) == len(second)
    assert first[-4096:] != second[-4096:]


def test_package_and_key_file(tmp_path, sides, answered, digits):
    client, server = sides
    server.save(tmp_path / "net.kkr")
    client.save(tmp_path / "client.kkey", passphrase="correct horse")
    assert (tmp_path / "client.kkey").stat().st_mode & 0o777 == 0o600
    again = Client.load(tmp_path / "client.kkey", passphrase="correct horse")
    served = Server.load(tmp_path / "net.kkr", threads=2)
    answer = again.decrypt(served.run(again.encrypt(digits[0][1])))
    direct = client.decrypt(server.run(client.encrypt(digits[0][1])))
    assert np.abs(answer - direct).max() < 1e-2
    with pytest.raises(KakuriError, match="KK-F"):
        Server.load(tmp_path / "client.kkey")


def test_the_secret_key_is_in_no_byte_the_server_gets(sides, answered):
    """Not the key's own bytes, nor any 64-byte piece of its coefficients."""
    client, server = sides
    query, answer = answered
    secret = client._secret.to_bytes()[-2048:]
    held = server.evaluation_keys() + query.to_bytes() + answer.to_bytes()
    for start in range(0, len(secret) - 64, 64):
        assert secret[start : start + 64] not in held


def test_wrong_key_is_refused(plan, answered):
    other, _ = plan.build(threads=1)
    with pytest.raises(KakuriError, match="KK-F42"):
        other.decrypt(answered[1])


def test_damaged_messages_are_refused(sides, answered):
    client, server = sides
    data = bytearray(answered[0].to_bytes())
    for position in (0, 5, 50, len(data) // 2, len(data) - 1):
        data[position] ^= 1
        with pytest.raises(KakuriError, match="KK-F4"):
            server.run(Query.from_bytes(bytes(data)))
        data[position] ^= 1
    with pytest.raises(KakuriError, match="KK-F4"):
        Query.from_bytes(bytes(data[:-1]))
    with pytest.raises(KakuriError, match="KK-F40"):
        client.decrypt(Answer.from_bytes(bytes(data)))


def test_a_query_that_is_not_fresh_is_refused(sides, answered):
    """An answer's ciphertexts, framed as a query of the right count, are at the wrong level."""
    _, server = sides
    query, answer = answered
    with pytest.raises(KakuriError, match="KK-F46"):
        server.run(Query(1, query.digest, answer.ciphertexts[: len(query.ciphertexts)]))


def test_wrong_shape_and_range(sides, digits):
    client, _ = sides
    with pytest.raises(KakuriError, match="KK-E40"):
        client.encrypt(np.zeros((1, 28, 27)))
    with pytest.raises(KakuriError, match="KK-E41"):
        client.encrypt(np.full((1, 28, 28), np.nan))
    with pytest.warns(KakuriWarning, match="calibrated"):
        client.encrypt(digits[0][0] * 9)


def test_values_outside_the_calibrated_range_name_the_layer(plan, digits):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", KakuriWarning)
        outside = plan.check_ranges(digits[0][:2] * 3)
    assert [message.split(":")[0] for message in outside] == ["act1", "act2"]
    assert all(message in str(warning.message) for message, warning in zip(outside, caught, strict=True))
    assert plan.check_ranges(digits[0][:2]) == []


def test_batch_axis_answers_many_at_once(digits):
    """One query, three images, on a network small enough for the quick suite."""
    net, x = small_network(samples=3)
    plan = encrypted.plan(net, packing="batch", calibration=x)
    assert plan.deployment.capacity == plan.recipe.chain.n  # every coefficient of the ring is a slot
    client, server = plan.build(threads=2)
    expected = model.reference_outputs(plan.net, x.astype(np.float32))
    assert np.abs(client.decrypt(server.run(client.encrypt(x))) - expected).max() < 1e-2


@pytest.mark.parametrize("stride", [1, 2])
def test_a_residual_block_answers_encrypted(stride):
    """A block of the ResNet-8 with either kind of shortcut, on the kernel; without it the answer is another."""
    torch.manual_seed(0)
    block = ResidualBlock("square", 2, 2 * stride, stride)
    head = nn.Sequential(nn.AvgPool2d(8 // stride), nn.Flatten(), nn.Linear(2 * stride, 3))
    net = model.load(nn.Sequential(block, head).eval(), example=torch.zeros(1, 2, 8, 8))
    x = np.random.default_rng(0).uniform(-1, 1, size=(4, 2, 8, 8))
    plan = encrypted.plan(net, calibration=x)
    assert plan.recipe.packing == "multiplexed"
    client, server = plan.build(threads=2)
    expected = model.reference_outputs(plan.net, x.astype(np.float32))
    error = max(
        float(np.abs(client.decrypt(server.run(client.encrypt(i)))[0] - e).max())
        for i, e in zip(x, expected, strict=True)
    )
    assert error <= 2.0 ** -(plan.deployment.precision_bits + 1) + SAFETY * plan.compiled.error + 1e-4
    with torch.no_grad():
        without = head(
            block.act2(block.bn2(block.conv2(block.act1(block.bn1(block.conv1(torch.tensor(x, dtype=torch.float32)))))))
        )
    assert np.abs(without.numpy() - expected).max() > 4 * error
