"""Signatures: what is signed verifies, anything else does not; keys survive their files."""

from __future__ import annotations

import base64
import json

import pytest

from kakuri.errors import KakuriError
from kakuri.trust.device_key import Recipient, new_device_key, recipient_of
from kakuri.trust.secret_file import write_secret
from kakuri.trust.signing import Signer, SignerPublic

FILES = {"b.bin": "11" * 32, "a.onnx": "22" * 32}


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.generate()


def test_a_bundle_verifies_for_its_files_and_key_only(signer):
    bundle = signer.bundle("net", FILES)
    signer.public.verify_bundle(bundle, FILES)
    for files in ({}, {"a.onnx": "22" * 32}, FILES | {"c": "33" * 32}, FILES | {"b.bin": "12" * 32}):
        with pytest.raises(KakuriError) as caught:
            signer.public.verify_bundle(bundle, files)
        assert caught.value.code == "KK-K41"
    with pytest.raises(KakuriError):
        Signer.generate().public.verify_bundle(bundle, FILES)


def test_the_bundle_has_the_model_signing_layout(signer):
    document = json.loads(signer.bundle("net", FILES))
    assert document["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert [item["name"] for item in statement["predicate"]["resources"]] == ["a.onnx", "b.bin"]
    assert statement["predicate"]["serialization"]["method"] == "files"


def test_every_byte_of_a_bundle_that_means_something_is_covered(signer):
    bundle = signer.bundle("net", FILES)
    document = json.loads(bundle)
    payload = base64.b64decode(document["dsseEnvelope"]["payload"])
    for at in range(0, len(payload), 7):
        changed = bytearray(payload)
        changed[at] ^= 1
        document["dsseEnvelope"]["payload"] = base64.b64encode(changed).decode()
        with pytest.raises(KakuriError) as caught:
            signer.public.verify_bundle(json.dumps(document).encode(), FILES)
        assert caught.value.code == "KK-K41"
    for text in (b"", b"{}", b"[]", b"\xff", bundle[:-1], bundle.replace(b"v0.3", b"v0.9")):
        with pytest.raises(KakuriError):
            signer.public.verify_bundle(text, FILES)


def test_labels_keep_signatures_apart(signer):
    signature = signer.sign(b"one\n", b"data")
    signer.public.verify(b"one\n", b"data", signature)
    for label, data in ((b"two\n", b"data"), (b"one\n", b"date"), (b"", b"data")):
        with pytest.raises(KakuriError):
            signer.public.verify(label, data, signature)


def test_signer_files(signer, tmp_path):
    signer.save(tmp_path / "s.kkey", passphrase="correct horse")
    again = Signer.load(tmp_path / "s.kkey", "correct horse")
    assert again.public == signer.public
    assert "PrivateKey" not in repr(again)
    write_secret(tmp_path / "bad.kkey", "package-signer", {"private": b"nonsense"})
    with pytest.raises(KakuriError) as caught:
        Signer.load(tmp_path / "bad.kkey")
    assert caught.value.code == "KK-K42"


def test_device_keys(tmp_path):
    recipient = new_device_key(tmp_path / "d.kkey")
    assert recipient_of(tmp_path / "d.kkey") == recipient
    assert (tmp_path / "d.kkey").stat().st_mode & 0o777 == 0o600
    write_secret(tmp_path / "o.kkey", "something-else", {"private": bytes(32)})
    with pytest.raises(KakuriError) as caught:
        recipient_of(tmp_path / "o.kkey")
    assert caught.value.code == "KK-K23"


@pytest.mark.parametrize("text", ["", "00" * 31, "zz" * 32])
def test_public_keys_that_are_none(text):
    with pytest.raises(KakuriError) as caught:
        Recipient.from_hex(text)
    assert caught.value.code == "KK-K40"


def test_points_of_small_order_are_refused():
    with pytest.raises(KakuriError) as caught:
        Recipient(bytes(32)).seal(b"key", b"info")
    assert caught.value.code == "KK-K40"


def test_points_off_the_curve_are_refused():
    with pytest.raises(KakuriError) as caught:
        SignerPublic(b"\4" + bytes(64)).verify(b"", b"", b"")
    assert caught.value.code == "KK-K42"
