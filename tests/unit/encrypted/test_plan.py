"""Planning: rings, refusals with every problem, and what a plan says."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from kakuri import _ckks, encrypted, model
from kakuri.encrypted import cost
from kakuri.encrypted.chain import find_chain, level_bits, precisions
from kakuri.errors import KakuriError, KakuriWarning
from tests.unit.encrypted.models import small_network


@pytest.fixture(scope="module", params=["channel", "multiplexed"])
def plan(request):
    net, x = small_network(4)
    return encrypted.plan(net, calibration=x, packing=request.param)


def test_plan_is_plain_data(plan):
    data = json.loads(json.dumps(plan.to_dict()))
    assert data["security_bits"] == 128
    assert data["depth"] == len(data["moduli_bits"]) - 1
    assert data["packing"] != "channel" or data["depth"] == 3
    assert data["log_qp_bits"] <= _ckks.max_log_qp(data["ring_dimension"].bit_length() - 1)
    assert str(data["ring_dimension"]) in str(plan)


def test_equal_models_give_equal_plans():
    net, x = small_network(4)
    first, second = (encrypted.plan(net, calibration=x).to_dict() for _ in range(2))
    assert first == second


def test_predicted_sizes_are_those_of_real_objects(plan):
    client, server = plan.build(threads=1)
    _, x = small_network(1)
    query = client.encrypt(x)
    answer = server.run(query)
    predicted = plan.to_dict()
    for name, real in (
        ("query_bytes", query.nbytes),
        ("answer_bytes", answer.nbytes),
        ("evaluation_key_bytes", server.evaluation_key_bytes),
    ):
        assert predicted[name] == pytest.approx(real, rel=0.02), name
    parts = predicted["memory_parts_bytes"]
    assert parts["keys"] == pytest.approx(server._keys.memory_bytes, rel=0.05)
    assert parts["diagonals"] == pytest.approx(sum(d.nbytes for d in server._constants.transforms), rel=0.02)
    assert parts["plains"] == sum(plain.nbytes for plain in server._constants.plains)
    assert predicted["memory_bytes"] == sum(parts.values())


def test_every_obstacle_is_named_at_once():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2), nn.Softmax(1))
    loaded = model.load(net.eval(), example=torch.zeros(1, 1, 6, 6))
    report = model.check(loaded, "encrypted")
    assert [problem.op for problem in report.problems] == ["Relu", "MaxPool", "Softmax"]
    with pytest.raises(KakuriError) as refusal:
        encrypted.plan(loaded, calibration=np.zeros((1, 1, 6, 6)))
    assert len(refusal.value.problems) == 3
    assert "polynomial_activation" in str(refusal.value)


def test_missing_calibration_warns():
    net, _ = small_network(1)
    with pytest.warns(KakuriWarning, match="calibration"):
        encrypted.plan(net, precision_bits=0)


def test_impossible_precision_says_what_was_tried():
    net, x = small_network(2)
    with pytest.raises(KakuriError, match="KK-E20") as refusal:
        encrypted.plan(net, calibration=x, precision_bits=60)
    assert "2^16" in str(refusal.value)


def test_unknown_packing():
    net, x = small_network(2)
    with pytest.raises(KakuriError, match="KK-E10"):
        encrypted.plan(net, calibration=x, packing="diagonal")


@pytest.mark.parametrize("log_n", [13, 14, 15])
def test_chains_are_secure_and_sized_for_their_use(log_n):
    uses = {3: {"masked"}, 2: {"square"}, 1: {"plain"}}
    for precision in precisions():
        bits = level_bits(uses, 3, precision, integer_bits=3)
        chain = find_chain(bits, log_n, precision)
        if chain is None:
            continue
        parameters = chain.parameters()
        assert parameters.security_bits == 128
        assert len({*chain.moduli, *chain.special_moduli}) == len(chain.moduli) + len(chain.special_moduli)
        assert [round(np.log2(q)) for q in chain.moduli] == bits
        assert chain.digit_over_special <= 0.5


def test_warnings_are_not_raised_for_good_inputs():
    net, x = small_network(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encrypted.plan(net, calibration=x).check_ranges(x)


def test_a_program_too_large_for_this_machine_says_so(plan, monkeypatch):
    assert plan.to_dict()["fits_this_machine"]
    assert "more than this machine" not in str(plan)
    monkeypatch.setattr(cost, "machine_memory_bytes", lambda: 100 << 20)
    assert not plan.to_dict()["fits_this_machine"]
    assert "more than this machine's 100 MiB" in str(plan)
