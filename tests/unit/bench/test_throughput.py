"""Throughput figures: one query for all images, timed as often as asked, in a process of its own."""

from __future__ import annotations

import pytest

from kakuri import model
from kakuri.bench.encrypted_case import Subject, measure
from kakuri.bench.rows import Options
from tests.unit.encrypted.models import small_network


@pytest.mark.parametrize(("packing", "together"), [("batch", 4), ("multiplexed", 1)])
def test_images_per_second_follow_from_the_query(tmp_path, packing, together):
    net, images = small_network(4)
    weights = tmp_path / "net.onnx"
    weights.write_bytes(model.to_bytes(net))
    labels = model.reference_outputs(net, images).argmax(1)
    messages = []
    options = Options(runs=2, settings={"packing": packing}, report=messages.append)
    (row,) = measure(Subject("small", weights, images, labels, images), options)
    figures = row.figures
    assert (row.system, figures["packing"], figures["images"]) == ("kakuri", packing, 4)
    assert figures["images_per_query"] == together
    assert figures["images_per_second"] == together / figures["latency_seconds"]
    assert figures["label_agreement_percent"] == figures["accuracy_percent"] == 100.0
    assert figures["cpu_seconds"] > 0
    assert len(messages) == (2 if packing == "batch" else 4)
