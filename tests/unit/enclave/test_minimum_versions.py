"""The file that remembers what is too old."""

from __future__ import annotations

import pytest

from kakuri.enclave.minimum_versions import MinimumVersions
from kakuri.errors import KakuriError
from kakuri.trust.signing import Signer


def test_a_minimum_rises_and_never_falls_and_makers_and_networks_are_apart(tmp_path):
    one, other = Signer.generate().public, Signer.generate().public
    key = tmp_path / "device.kkey"
    for minimum in (3, 2, 1):
        MinimumVersions(key).raise_to(one, "lenet", minimum)
    assert MinimumVersions(key).of(one, "lenet") == 3
    assert MinimumVersions(key).of(one, "resnet") == 1
    assert MinimumVersions(key).of(other, "lenet") == 1
    MinimumVersions(key).raise_to(one, "lenet", 4)
    assert MinimumVersions(key).of(one, "lenet") == 4


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a":0}', '{"a":"2"}', '{"a":true}', '{"a":4294967296}', '{"a":1,"a":2}']
)
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "device.kkey.versions").write_text(text)
    with pytest.raises(KakuriError) as caught:
        MinimumVersions(tmp_path / "device.kkey").of(Signer.generate().public, "lenet")
    assert caught.value.code == "KK-W22"
