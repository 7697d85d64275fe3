"""The attacks succeed where they must, and are at chance where nothing leaks."""

from __future__ import annotations

import gc
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kakuri.attacks import ATTACKS, Budget, Question, Spending, Target, Verdict, messages, planted, select
from kakuri.attacks.attack import Attack
from kakuri.attacks.target import pose
from kakuri.errors import KakuriError

BUDGET = Budget()
IMAGES = 120
REPEATS = 40


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def truth(count: int = IMAGES, repeats: int = REPEATS, seed: int = 11) -> dict[str, np.ndarray]:
    images, labels = planted.glyphs(count, random(seed))
    order = np.concatenate([np.arange(count), np.arange(repeats)])
    return {"image": images[order], "label": labels[order], "group": order}


def target(name: str, encrypt: object, known: dict[str, np.ndarray] | None = None) -> Target:
    known = truth() if known is None else known
    sent = [encrypt(image.astype("<f4").tobytes()) for image in known["image"]]  # type: ignore[operator]
    return Target(name, {"query": messages(sent)}, known)


def gcm(plain: bytes, key: bytes = AESGCM.generate_key(128)) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, plain, None)


def ctr_with_one_nonce(plain: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(b"k" * 16), modes.CTR(b"n" * 16)).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_passes_its_self_test(name: str) -> None:
    tested = ATTACKS[name].self_test(BUDGET, random())
    assert tested.passed, tested


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_fails_its_self_test_when_the_plant_is_replaced_by_noise(name: str) -> None:
    """The self-test can fail: with random bytes in place of the planted plaintext it does."""
    attack = ATTACKS[name]

    class OnNoise(type(attack)):  # type: ignore[misc]
        def planted(self, generator: np.random.Generator) -> Target:
            real = super().planted(generator)
            return replace(real, views={"query": messages([generator.bytes(900) for _ in range(real.samples)])})

    assert not OnNoise().self_test(BUDGET, random()).passed


@pytest.mark.parametrize("name", ["label_from_bytes", "pixels_from_bytes", "distinguish_repeats"])
def test_plaintext_leaks_and_authenticated_encryption_does_not(name: str) -> None:
    attack = ATTACKS[name]
    plain = attack.run(target("plain", lambda data: b"HEAD" + data), BUDGET, random(1))
    assert plain.verdict is Verdict.LEAK
    assert plain.leak_share > 0.8
    assert plain.estimate.low > plain.chance.high
    sealed = attack.run(target("gcm", gcm), BUDGET, random(1))
    assert sealed.verdict is Verdict.AT_CHANCE, sealed
    assert sealed.p_value > 1e-4
    assert sealed.unprotected.low > sealed.chance.high
    assert sealed.estimate.value < sealed.detectable


@pytest.mark.parametrize("name", ["label_from_bytes", "pixels_from_bytes", "distinguish_repeats"])
def test_a_reused_nonce_is_found(name: str) -> None:
    """Encryption without fresh randomness: every byte looks random, and still everything leaks."""
    result = ATTACKS[name].run(target("ctr", ctr_with_one_nonce), BUDGET, random(2))
    assert result.verdict is Verdict.LEAK, result


def test_sizes_betray_compressed_pictures_however_well_encrypted() -> None:
    attack = ATTACKS["size_and_shape_leak"]
    known = truth()
    sent = [gcm(parts[0]) for parts in planted.as_compressed(known["image"])]
    leaking = attack.run(Target("compressed", {"query": messages(sent)}, known), BUDGET, random(3))
    assert leaking.verdict is Verdict.LEAK, leaking
    constant = attack.run(target("gcm", gcm), BUDGET, random(3))
    assert constant.verdict is Verdict.AT_CHANCE
    assert "no_information" in constant.details
    counts = [(b"x",) * (1 + int(20 * image.mean())) for image in known["image"]]
    assert attack.run(Target("counts", {"q": messages(counts)}, known), BUDGET, random(3)).verdict is Verdict.LEAK


def test_a_timing_side_channel_is_found() -> None:
    known = truth()
    noise = random(4).normal(0, 0.1, len(known["label"]))
    numbers = {"seconds": (known["label"] + noise)[:, None].astype(np.float64)}
    result = ATTACKS["label_from_bytes"].run(Target("timed", {}, known, numbers), BUDGET, random(4))
    assert result.verdict is Verdict.LEAK
    assert result.view == "seconds"


def test_too_few_samples_are_inconclusive_or_refused_never_safe() -> None:
    attack = ATTACKS["label_from_bytes"]
    with pytest.raises(KakuriError) as caught:
        attack.run(target("few", gcm, truth(19, 0)), BUDGET, random())
    assert caught.value.code == "KK-A04"
    hopeless = {**truth(20, 0), "label": random(9).integers(0, 10, 20)}  # labels that not even the pictures tell
    result = attack.run(target("few", gcm, hopeless), BUDGET, random())
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "record more" in result.text


def test_repeats_do_not_stand_on_both_sides_of_the_split() -> None:
    """Deterministic encryption of distinct pictures: a copy among the known would make the label attack look better."""
    known = truth(30, 30)
    attack = ATTACKS["label_from_bytes"]
    cases, _ = attack.cases(target("t", gcm, known), random())
    assert len(np.unique(known["group"][cases[:, 0]])) == len(cases) == 30


def reachable(start: object) -> list[np.ndarray]:
    seen, todo, arrays = set(), [start], []
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, type):
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray):
            arrays.append(item)
            if item.base is not None:
                todo.append(item.base)
        todo.extend(gc.get_referents(item))
    return arrays


def test_a_question_does_not_hold_the_answers() -> None:
    """Walks everything that can be reached from a question: no array of the truth, nor a base of one, is among it."""
    known = truth()
    subject = target("gcm", gcm, known)
    marked = np.arange(len(known["label"])) + 0.12345
    question, answers = pose(subject, np.arange(subject.samples)[:, None], marked, random())
    arrays = reachable(question)
    assert any(np.array_equal(array, question.known_answers) for array in arrays)  # the walk does reach arrays
    for array in arrays:
        assert not np.isin(answers, array).any()
        assert array is not known["label"]
        assert array is not known["image"]
    assert set(question.known_answers) | set(answers) == set(marked)


def test_guess_gets_a_question_only() -> None:
    """What the base class passes to ``guess`` is recorded: a question, a budget and a generator."""
    received: list[object] = []

    class Watching(type(ATTACKS["label_from_bytes"])):  # type: ignore[misc]
        def guess(self, question: Question, spending: Spending, generator: np.random.Generator) -> object:
            received.extend([question, spending, generator])
            return super().guess(question, spending, generator)

    Watching().self_test(BUDGET, random())
    assert [type(item) for item in received] == [Question, Spending, np.random.Generator]


def test_runs_repeat_exactly_with_the_same_randomness() -> None:
    subject = target("plain", bytes)
    for attack in ATTACKS.values():
        first, second = (attack.run(subject, BUDGET, random(7)).to_dict() for _ in range(2))
        assert first == second
        json.dumps(first, allow_nan=False)


def test_the_budget_caps_samples_and_time() -> None:
    attack = ATTACKS["label_from_bytes"]
    result = attack.run(target("plain", bytes), Budget(samples=40), random())
    assert result.known + result.asked == 40
    ticks = iter(range(10**6))
    spending = Spending(Budget(seconds=1.5), clock=lambda: float(next(ticks)))
    question, _ = pose(target("plain", bytes), np.arange(100)[:, None], truth()["label"][:100].astype(float), random())
    _, details = attack.guess(question, spending, random())
    assert spending.stopped_early
    assert 1 <= int(details["readings_tried"]) < 10
    for bad in ({"seconds": 0}, {"samples": 0}, {"memory_bytes": 1}, {"seconds": float("nan")}):
        with pytest.raises(KakuriError):
            Budget(**bad)


def test_targets_that_do_not_fit_together_are_refused_with_every_problem() -> None:
    with pytest.raises(KakuriError) as caught:
        Target("t", {"q": messages([b"1", b"2"])}, {"label": np.zeros(3)}, {"s": np.array([[np.nan], [1.0]])})
    assert [problem.code for problem in caught.value.problems] == ["KK-A01", "KK-A01"]
    for build in (
        lambda: Target("t", {}, {}),
        lambda: messages([1]),  # type: ignore[list-item]
        lambda: messages(["text"]),  # type: ignore[list-item]
        lambda: target("t", gcm).only("nothing"),
    ):
        with pytest.raises(KakuriError) as caught:
            build()
        assert caught.value.code == "KK-A01"


def test_an_attack_says_why_it_does_not_apply() -> None:
    subject = replace(target("t", gcm), truth={"label": np.zeros(IMAGES + REPEATS)})
    for attack in ATTACKS.values():
        assert "no truth named" in attack.why_not(subject)
        with pytest.raises(KakuriError) as caught:
            attack.run(subject, BUDGET, random())
        assert caught.value.code == "KK-A03"
    assert "twice" in ATTACKS["distinguish_repeats"].why_not(target("t", gcm, truth(30, 0)))


def test_select_names_every_unknown_attack_and_suggests() -> None:
    assert select("all") == tuple(ATTACKS.values())
    assert [attack.name for attack in select(["pixels_from_bytes", "pixels_from_bytes"])] == ["pixels_from_bytes"]
    with pytest.raises(KakuriError) as caught:
        select(["pixel_from_bytes", "nonsense"])
    assert [problem.code for problem in caught.value.problems] == ["KK-A06", "KK-A06"]
    assert "pixels_from_bytes" in caught.value.problems[0].hint


@pytest.mark.parametrize("name", ["label_from_bytes", "pixels_from_bytes"])
def test_noise_is_called_a_leak_no_more_often_than_stated(name: str) -> None:
    attack: Attack = ATTACKS[name]
    known = truth(40, 0)
    p_values = []
    for seed in range(8):
        noise = random(seed)
        subject = Target("noise", {"q": messages([noise.bytes(noise.integers(500, 600)) for _ in range(40)])}, known)
        p_values.append(attack.run(subject, BUDGET, random(seed)).p_value)
    assert min(p_values) > 1e-4
    assert np.mean(p_values) > 0.25


@pytest.mark.needs_data
@pytest.mark.skipif("KAKURI_DATA" not in os.environ, reason="KAKURI_DATA is not set")
def test_real_digits_leak_from_a_plaintext_server_and_not_from_an_encrypted_one() -> None:
    folder = Path(os.environ["KAKURI_DATA"]) / "mnist"
    pixels = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, np.uint8, 400 * 784, 16).reshape(400, 28, 28) / 255.0
    labels = np.frombuffer(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, 400, 8)
    known = {"image": images, "label": labels}
    for name, least in (("label_from_bytes", 0.6), ("pixels_from_bytes", 0.99)):
        plain = ATTACKS[name].run(target("plain", bytes, known), BUDGET, random())
        sealed = ATTACKS[name].run(target("gcm", gcm, known), BUDGET, random())
        assert plain.verdict is Verdict.LEAK
        assert plain.estimate.value > least
        assert sealed.verdict is Verdict.AT_CHANCE
        assert sealed.unprotected.value > least
