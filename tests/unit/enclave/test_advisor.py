"""The advisor on a network that ships, with the digits that ship."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

import kakuri as kk
from kakuri.enclave.advice_picture import picture
from kakuri.enclave.advisor import advise, recommend
from kakuri.enclave.leaks import Samples
from kakuri.errors import KakuriError


@pytest.fixture(scope="module")
def net():
    return kk.load(kk.zoo.weights.path("mnist-3layer-square"))


@pytest.fixture(scope="module")
def samples():
    digits = kk.zoo.samples.mnist_sample()
    half = len(digits.images) // 2
    return (
        Samples(digits.images[:half], digits.labels[:half].astype(np.int64)),
        Samples(digits.images[half:], digits.labels[half:].astype(np.int64)),
    )


@pytest.fixture(scope="module")
def advice(net, samples):
    return advise(net, *samples, queries=40)


def test_everything_inside_leaks_what_the_answers_leak_and_an_open_tail_more(advice):
    first, last = advice.cuts[0], advice.cuts[-1]
    assert first.share == 0.0
    assert first.leaks.values["stealing"] == advice.black_box.values["stealing"]
    assert last.leaks.values["stealing"].value > advice.black_box.values["stealing"].value + 0.05
    assert advice.white_box.values["stealing"].value == 1.0
    assert last.leaks.stolen_accuracy > advice.black_box.stolen_accuracy


def test_hiding_less_costs_less_and_the_last_layer_alone_is_never_recommended(advice):
    sizes = [cut.secure_bytes for cut in advice.cuts]
    assert sizes[-1] == min(sizes) < sizes[0]
    assert all(cut.boundary_bytes > 0 and cut.inside_seconds > 0 for cut in advice.cuts)
    alone = [cut for cut in advice.cuts if cut.weighted_layers == 1]
    assert alone
    assert all("last layer alone" in cut.remark for cut in alone)
    assert advice.recommended not in alone


def test_a_recommendation_keeps_to_tolerance_and_memory_and_none_is_said_to_be_none(advice):
    assert advice.recommended is not None
    assert advice.recommended.share <= advice.tolerance
    cheaper = [cut for cut in advice.cuts if cut.secure_bytes < advice.recommended.secure_bytes]
    assert all(cut.share > advice.tolerance or cut.weighted_layers < 2 for cut in cheaper)
    assert recommend(advice.cuts, advice.tolerance, 1024) is None
    assert recommend(advice.cuts, 1.0, 1 << 40).secure_bytes < advice.cuts[0].secure_bytes
    assert "no cut that fits 1.0 KiB" in str(replace(advice, budget_bytes=1024, recommended=None))


def test_text_and_picture_name_every_cut(advice):
    drawn = "".join(ET.fromstring(picture(advice)).itertext())
    for cut in advice.cuts:
        assert cut.layers in str(advice)
        assert cut.layers in drawn
    assert "answers alone" in drawn
    assert [cut["layers"] for cut in advice.to_dict()["cuts"]] == [cut.layers for cut in advice.cuts]


def test_samples_that_prove_nothing_are_refused(net, samples):
    few = Samples(samples[0].images[:30], samples[0].labels[:30])
    wrong = Samples(samples[0].images, samples[0].labels + 100)
    for members, others, queries in ((few, samples[1], 20), (*samples, 10), (*samples, 1000), (wrong, wrong, 20)):
        with pytest.raises(KakuriError) as caught:
            advise(net, members, others, queries=queries)
        assert caught.value.code == "KK-W40"
