"""The audit: what it runs, what it refuses, and what its report says."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kakuri import audit
from kakuri.attacks import ATTACKS, Budget, Target, messages, planted
from kakuri.audit.html import Markup, tag
from kakuri.audit.targets import encrypted
from kakuri.errors import KakuriError
from kakuri.trust import ENCRYPTED_INFERENCE, SeededRandomness


def sealed_target(name: str = "sealed <server>") -> Target:
    images, labels = planted.glyphs(60, np.random.default_rng(1))
    order = np.concatenate([np.arange(60), np.arange(30)])
    key = AESGCM(AESGCM.generate_key(128))

    def seal(image: np.ndarray) -> bytes:
        nonce = os.urandom(12)
        return nonce + key.encrypt(nonce, image.astype("<f4").tobytes(), None)

    truth = {"image": images[order], "label": labels[order], "group": order}
    return Target(name, {"query": messages([seal(image) for image in truth["image"]])}, truth)


@pytest.fixture(scope="module")
def report() -> audit.AuditReport:
    plain = planted.plaintext_server(100, np.random.default_rng(2))
    return audit.run([audit.Subject(sealed_target(), ENCRYPTED_INFERENCE), plain])


def test_leaks_are_found_where_they_are_and_nowhere_else(report: audit.AuditReport) -> None:
    assert {result.target for result in report.leaks} == {"planted plaintext server"}
    assert {result.attack for result in report.leaks} == {"label_from_bytes", "pixels_from_bytes"}
    assert not report.ok
    assert report.summary == "2 of 7 attacks found a leak"
    assert [(item.attack, item.target) for item in report.skipped] == [
        ("distinguish_repeats", "planted plaintext server")
    ]
    assert [test.attack for test in report.self_tests] == list(ATTACKS)


def test_a_clean_recording_is_ok() -> None:
    clean = audit.run(sealed_target(), ["pixels_from_bytes", "distinguish_repeats"])
    assert clean.ok
    assert clean.summary == "all 2 attacks are at chance"


def test_the_same_recording_and_seed_give_the_same_report() -> None:
    target = sealed_target()
    runs = [audit.run(target, ["label_from_bytes"], randomness=SeededRandomness(seed)).to_dict() for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0]["results"] != runs[2]["results"]
    assert runs[0]["randomness"] == {"seed": 3, "label": ""}


def test_an_attack_that_fails_its_self_test_is_refused() -> None:
    class Blunt(type(ATTACKS["label_from_bytes"])):  # type: ignore[misc]
        name = "blunt"

        def guess(self, question: object, spending: object, random: object) -> object:
            return np.zeros(len(question.asked)), {}  # type: ignore[attr-defined]

    blunt = audit.run(sealed_target(), [Blunt(), ATTACKS["distinguish_repeats"]])
    assert [refusal.attack for refusal in blunt.refused] == ["blunt"]
    assert [result.attack for result in blunt.results] == ["distinguish_repeats"]
    assert not blunt.ok
    assert "self-test" in blunt.summary
    assert "blunt" in str(blunt)


def test_few_samples_make_an_audit_inconclusive_not_ok() -> None:
    target = sealed_target()
    hopeless = {**target.truth, "label": np.random.default_rng(1).integers(0, 10, target.samples)}
    few = audit.run(replace(target, truth=hopeless), ["label_from_bytes"])
    assert few.inconclusive
    assert not few.ok
    assert "too few" in few.summary
    blunted = audit.run(target, ["label_from_bytes"], budget=Budget(samples=20))  # too small to pass the self-test
    assert blunted.refused
    assert not blunted.ok


def test_bad_requests_are_refused() -> None:
    for call, code in (
        (lambda: audit.run([]), "KK-A01"),
        (lambda: audit.run(sealed_target(), ["nothing"]), "KK-A06"),
    ):
        with pytest.raises(KakuriError) as caught:
            call()
        assert caught.value.code == code


def test_json_holds_everything_and_is_json(report: audit.AuditReport, tmp_path: Path) -> None:
    report.save(tmp_path / "audit.json")
    document = json.loads((tmp_path / "audit.json").read_text())
    assert document == json.loads(json.dumps(report.to_dict()))
    first = document["results"][0]
    assert set(first["estimate"]) == {"value", "low", "high"}
    assert document["recordings"][0]["threat"]["room"] == "encrypted"
    assert document["recordings"][0]["samples"] == 90


class Page(HTMLParser):
    """Collects elements and checks that they close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((name, dict(attributes)))
        if name not in {"meta", "br"}:
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((name, dict(attributes)))

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name


def test_the_page_is_whole_self_contained_and_escaped(report: audit.AuditReport, tmp_path: Path) -> None:
    report.save(tmp_path / "audit.html")
    text = (tmp_path / "audit.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    names = [name for name, _ in page.seen]
    assert not {"script", "link", "img", "iframe", "object"} & set(names)
    assert not any(key in {"src", "href", "style"} or key.startswith("on") for _, keys in page.seen for key in keys)
    assert not re.search(r"url\(|@import|https?:", text)
    assert names.count("svg") == len(report.results)
    assert "sealed &lt;server&gt;" in text
    assert "<server>" not in text
    for result in report.results:
        assert f"{result.estimate.value:.1%}" in text or abs(result.estimate.value) < 5e-4
    for line in ENCRYPTED_INFERENCE.not_guaranteed:
        assert line.replace("'", "&#x27;") in text


def test_an_unknown_ending_is_refused_and_nothing_is_written(report: audit.AuditReport, tmp_path: Path) -> None:
    with pytest.raises(KakuriError) as caught:
        report.save(tmp_path / "audit.pdf")
    assert caught.value.code == "KK-A07"
    assert list(tmp_path.iterdir()) == []


def test_text_and_attributes_cannot_break_out_of_elements() -> None:
    hostile = "\"'><script>&"
    made = tag("td", hostile, tag("b", "x"), Markup("<i></i>"), class_=hostile, data_x=1.5).text
    safe = "&quot;&#x27;&gt;&lt;script&gt;&amp;"
    assert made == f'<td class="{safe}" data-x="1.5">{safe}<b>x</b><i></i></td>'


class Sealed:
    """A message that is its bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def to_bytes(self) -> bytes:
        return self.data


class GcmClient:
    """A client whose server is a mailbox: real encryption, so that the recorder has something real to record."""

    def __init__(self) -> None:
        self.cipher = AESGCM(AESGCM.generate_key(128))

    def encrypt(self, x: np.ndarray, /) -> Sealed:
        nonce = os.urandom(12)
        return Sealed(nonce + self.cipher.encrypt(nonce, x.astype("<f4").tobytes(), None))


class Mailbox:
    def __init__(self) -> None:
        self.received: list[bytes] = []

    def run(self, query: Sealed, /) -> Sealed:
        self.received.append(query.to_bytes())
        return Sealed(query.to_bytes()[:400])


def test_the_recorder_keeps_exactly_what_the_server_received() -> None:
    images, labels = planted.glyphs(50, np.random.default_rng(3))
    server = Mailbox()
    scores = np.eye(10)[labels]
    sent, given = encrypted(
        GcmClient(), server, images, labels, scores=scores, evaluation_keys=b"k" * 9, repeats=25, answers=45
    )
    order = [*range(50), *range(25)]
    assert sent.target.channels == ("query",)
    assert sent.target.samples == 75
    assert sent.target.shared == {"evaluation keys": b"k" * 9}
    assert np.array_equal(sent.target.truth["group"], order)
    assert np.array_equal(sent.target.truth["image"][50:], images[:25])
    answered = [*range(27), *range(50, 68)]
    assert server.received == [sent.target.views["query"][at][0] for at in answered]
    assert given.target.channels == ("answer", "seconds")
    assert [parts[0] for parts in given.target.views["answer"]] == [data[:400] for data in server.received]
    assert np.array_equal(given.target.truth["group"], [order[at] for at in answered])
    assert (given.target.numbers["seconds"] >= 0).all()
    assert np.array_equal(np.frombuffer(given.target.plain["query"][28][0], "<f4"), images[1].ravel().astype("<f4"))
    found = audit.run([sent, given], ["label_from_bytes", "pixels_from_bytes"])
    assert not [result for result in found.leaks if result.view != "seconds"]
    assert all(result.unprotected.value > 0.9 for result in found.results)  # plain pixels and scores give all away
    everything = encrypted(GcmClient(), server, images, labels, repeats=5)[1]
    assert everything.target.samples == 55
