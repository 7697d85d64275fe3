"""Every refusal is typed, comes before any work, and says what was found and is allowed; counters count what ran."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kakuri import _ckks, _ckks_secret
from kakuri.errors import KakuriError

from .conftest import Ring


@pytest.fixture
def made(tiny: Ring) -> dict[str, _ckks.Ciphertext]:
    def at(level: int, scale: float = 2.0**40) -> _ckks.Ciphertext:
        return tiny.secret.encrypt(_ckks.encode(tiny.parameters, np.ones(4), scale, level))

    top = at(3)
    return {
        "a": top,
        "low": at(1),
        "other_scale": at(3, 2.0**39),
        "three": tiny.evaluator.square(top),
        "bottom": at(0, 2.0**20),
    }


def refusal(call: Callable[[], object]) -> KakuriError:
    with pytest.raises(KakuriError) as caught:
        call()
    return caught.value


def test_operand_refusals(tiny: Ring, made: dict[str, _ckks.Ciphertext]) -> None:
    e, p = tiny.evaluator, tiny.parameters
    a, low, other, three, bottom = made.values()
    plain = _ckks.encode(p, np.ones(4), 2.0**40, 3)
    zero = _ckks.encode(p, np.zeros(4), 2.0**40, 3)
    low_plain = _ckks.encode(p, np.ones(4), 2.0**40, 0)
    one = np.ones((1, 1))
    cases: list[tuple[str, Callable[[], object]]] = [
        ("KK-N05", lambda: e.add(a, low)),
        ("KK-N05", lambda: e.sub(low, a)),
        ("KK-N05", lambda: e.multiply(a, low)),
        ("KK-N05", lambda: e.add_many([a, low])),
        ("KK-N05", lambda: e.multiply_plain(a, low_plain)),
        ("KK-N05", lambda: e.rescale(bottom)),
        ("KK-N05", lambda: e.drop_to_level(low, 2)),
        ("KK-N05", lambda: e.drop_to_level(low, -1)),
        ("KK-N06", lambda: e.add(a, other)),
        ("KK-N06", lambda: e.sub(a, other)),
        ("KK-N06", lambda: e.add_plain(other, plain)),
        ("KK-N06", lambda: e.dot_plain([a, other], [plain, plain])),
        ("KK-N06", lambda: e.linear_combination([a, other], np.ones((1, 2)), 2.0**20)),
        ("KK-N07", lambda: e.multiply_plain(e.drop_to_level(three, 1), plain)),
        ("KK-N07", lambda: e.multiply_scalar(a, float("nan"), 2.0**20)),
        ("KK-N07", lambda: e.multiply_scalar(a, 1.0, float("inf"))),
        ("KK-N07", lambda: e.set_scale(a, 0.0)),
        ("KK-N07", lambda: e.add_scalar(a, float("inf"))),
        ("KK-N07", lambda: e.add_scalar(bottom, 2.0**30)),
        ("KK-N07", lambda: e.linear_combination([a], one * np.nan, 2.0**20)),
        ("KK-N08", lambda: e.multiply(three, a)),
        ("KK-N08", lambda: e.square(three)),
        ("KK-N08", lambda: e.relinearize(a)),
        ("KK-N08", lambda: e.rotate(three, 1)),
        ("KK-N08", lambda: e.rotate_hoisted(three, [1])),
        ("KK-N08", lambda: e.rotate_sum(three, [1])),
        ("KK-N08", lambda: e.linear_combination([three], one, 2.0**20)),
        ("KK-N08", lambda: e.dot_plain([a, e.set_scale(three, a.scale)], [plain, plain])),
        ("KK-N09", lambda: e.rotate(a, 5)),
        ("KK-N09", lambda: e.rotate(a, 7)),
        ("KK-N09", lambda: e.rotate_hoisted(a, [1, 5])),
        ("KK-N09", lambda: e.rotate_sum(a, [1, 5])),
        ("KK-N09", lambda: _ckks.Evaluator(p).relinearize(three)),
        ("KK-N11", lambda: e.add_many([])),
        ("KK-N11", lambda: e.dot_plain([a], [])),
        ("KK-N11", lambda: e.linear_combination([], np.ones((1, 0)), 2.0**20)),
        ("KK-N11", lambda: e.linear_combination([a], np.ones((1, 2)), 2.0**20)),
        ("KK-N11", lambda: e.linear_combination([a], np.ones((0, 1)), 2.0**20)),
        ("KK-N12", lambda: e.multiply_plain(a, zero)),
        ("KK-N12", lambda: e.dot_plain([a, a], [zero, zero])),
        ("KK-N12", lambda: e.multiply_scalar(a, 0.0, 2.0**20)),
        ("KK-N12", lambda: e.linear_combination([a, a], np.array([[1.0, 1.0], [1e-9, 0.0]]), 2.0**20)),
        ("KK-N12", lambda: e.linear_combination([a], one, 2.0**20, zero)),
        ("KK-N15", lambda: e.linear_combination([a], one, 2.0**49)),
        ("KK-N15", lambda: e.multiply_scalar(a, 2.0**30, 2.0**40)),
        ("KK-N15", lambda: tiny.secret.decrypt(a, precision_bits=65)),
        ("KK-N15", lambda: tiny.secret.decrypt(a, precision_bits=float("nan"))),
        ("KK-N15", lambda: tiny.secret.decrypt(a, precision_bits=10, flooding_bits=-1)),
        ("KK-N15", lambda: tiny.secret.decrypt(a, precision_bits=10, flooding_bits=1000)),
        ("KK-N16", lambda: _ckks.Evaluator(p, None, 0)),
        ("KK-N05", lambda: tiny.secret.evaluation_keys({1: 4})),
        ("KK-N05", lambda: tiny.secret.evaluation_keys({1: -1})),
        ("KK-N05", lambda: tiny.secret.evaluation_keys({}, 9)),
    ]
    e.reset_counters()
    for code, call in cases:
        error = refusal(call)
        assert error.code == code, str(error)
        assert error.problem.where
    # One rotation of the rejected hoists would show here: refusals come before any work.
    assert not any(e.counters.values())


def test_a_missing_key_names_step_level_and_what_exists(tiny: Ring, made: dict[str, _ckks.Ciphertext]) -> None:
    missing = refusal(lambda: tiny.evaluator.rotate(made["a"], 5)).problem
    assert missing.where == "rotation by 5 at level 3"
    assert "7@2" in missing.got
    too_low = refusal(lambda: tiny.evaluator.rotate(made["a"], 7)).problem
    assert (too_low.got, too_low.limit) == ("key up to level 2", "level 3")
    assert tiny.evaluator.rotate(tiny.evaluator.drop_to_level(made["a"], 2), 7).level == 2


def test_other_parameters_are_refused(tiny: Ring, secure: Ring, made: dict[str, _ckks.Ciphertext]) -> None:
    foreign = secure.secret.encrypt(_ckks.encode(secure.parameters, np.ones(4), 2.0**40, 3))
    plain = _ckks.encode(secure.parameters, np.ones(4), 2.0**40, 3)
    a = made["a"]
    for call in (
        lambda: tiny.evaluator.add(a, foreign),
        lambda: tiny.evaluator.multiply_plain(a, plain),
        lambda: tiny.secret.decrypt(foreign, precision_bits=10),
        lambda: tiny.secret.encrypt(plain),
        lambda: _ckks.encrypt(tiny.secret.public_key(), plain),
        lambda: _ckks.Evaluator(tiny.parameters, secure.keys),
    ):
        assert refusal(call).code == "KK-N10"


def test_key_switching_needs_special_moduli() -> None:
    parameters = _ckks.Parameters(5, _ckks.ntt_primes(5, [40]), [], 1, allow_insecure=True)
    secret = _ckks_secret.SecretKey.generate(parameters)
    assert refusal(lambda: secret.evaluation_keys({1: 0})).code == "KK-N03"


def test_wrong_types_are_type_errors(tiny: Ring, made: dict[str, _ckks.Ciphertext]) -> None:
    for call in (
        lambda: tiny.evaluator.add(made["a"], None),  # type: ignore[arg-type]
        lambda: tiny.evaluator.add_many([made["a"], None]),  # type: ignore[list-item]
        lambda: tiny.evaluator.add_many(["x"]),  # type: ignore[list-item]
        lambda: _ckks.Ciphertext.from_bytes(tiny.parameters, "text"),  # type: ignore[arg-type]
        lambda: _ckks.Ciphertext.from_bytes(tiny.parameters, None),  # type: ignore[arg-type]
    ):
        with pytest.raises((TypeError, RuntimeError)):
            call()


def test_counters_count_what_runs(tiny: Ring, made: dict[str, _ckks.Ciphertext]) -> None:
    e, a = tiny.evaluator, made["a"]
    plain = _ckks.encode(tiny.parameters, np.ones(4), 2.0**40, 3)
    weights = np.array([[1.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    runs: list[tuple[Callable[[], object], dict[str, int]]] = [
        (lambda: e.add(a, a), {"hadd": 1}),
        (lambda: e.add_many([a, a, a]), {"hadd": 2}),
        (lambda: e.add_plain(a, plain), {"hadd_plain": 1}),
        (lambda: e.add_scalar(a, 1.0), {"hadd_plain": 1}),
        (lambda: e.multiply_plain(a, plain), {"hmulplain": 1}),
        (lambda: e.multiply_scalar(a, 1.0, 2.0**20), {"hmulplain": 1}),
        (lambda: e.dot_plain([a, a, a], [plain] * 3), {"hmulplain": 3, "hadd": 2}),
        (lambda: e.linear_combination([a] * 3, weights, 2.0**20), {"hmulplain": 5, "hadd": 3}),
        (
            lambda: e.linear_combination([a] * 3, weights, 2.0**20, plain),
            {"hmulplain": 5, "hadd": 3, "mask_multiply": 2},
        ),
        (lambda: e.multiply(a, e.set_scale(a, a.scale)), {"hmul": 1}),
        (lambda: e.multiply(a, a), {"hmul": 1}),
        (lambda: e.square(a), {"hsquare": 1}),
        (lambda: e.relinearize(made["three"]), {"relinearize": 1, "keyswitch_modup": 1, "keyswitch_moddown": 1}),
        (lambda: e.rescale(a), {"rescale": 1}),
        (lambda: e.rotate(a, 1), {"rotation": 1, "keyswitch_modup": 1, "keyswitch_moddown": 1}),
        (lambda: e.rotate(a, tiny.parameters.slots), {"rotation_identity": 1}),
        (
            lambda: e.rotate_hoisted(a, [0, 1, 2]),
            {"rotation": 2, "rotation_identity": 1, "keyswitch_modup": 1, "keyswitch_moddown": 2},
        ),
        (
            lambda: e.rotate_sum(a, [2, 2]),
            {"rotation": 2, "hadd": 2, "keyswitch_modup": 2, "keyswitch_moddown": 2},
        ),
        (
            lambda: e.rotate_sum(a, [1, 2]),  # there is a key for 3
            {"rotation": 2, "hadd": 2, "keyswitch_modup": 1, "keyswitch_moddown": 1},
        ),
        (lambda: e.drop_to_level(a, 2), {}),
        (lambda: e.negate(a), {}),
    ]
    for call, expected in runs:
        e.reset_counters()
        call()
        assert {k: v for k, v in e.counters.items() if v} == expected
    assert set(e.counters) == {
        *("hadd", "hadd_plain", "hmulplain", "hmul", "hsquare", "mask_multiply", "rotation", "rotation_identity"),
        *("relinearize", "rescale", "keyswitch_modup", "keyswitch_moddown"),
    }


def test_secret_key_shows_nothing(tiny: Ring) -> None:
    import copy
    import pickle

    data = tiny.secret.to_bytes()
    assert repr(tiny.secret) == "<SecretKey>"
    twin = type(tiny.secret).from_bytes(tiny.parameters, data)
    assert twin != tiny.secret
    assert twin.to_bytes() == data
    for call in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            call(tiny.secret)
    names = {n for n in dir(tiny.secret) if not n.startswith("_")}
    assert names == {
        "generate",
        "parameters",
        "to_bytes",
        "from_bytes",
        "public_key",
        "evaluation_keys",
        "encrypt",
        "decrypt",
    }


def test_public_module_has_no_secret_type() -> None:
    public = {name for name in dir(_ckks) if not name.startswith("_")}
    assert not {name for name in public if "ecret" in name or "ecrypt" in name}
    # Nor does its machine code hold the secret key's functions; both modules are built from the same library.
    symbols = {module: Path(str(module.__file__)).read_bytes() for module in (_ckks, _ckks_secret)}
    assert b"SecretKey" in symbols[_ckks_secret]
    assert b"SecretKey" not in symbols[_ckks]
