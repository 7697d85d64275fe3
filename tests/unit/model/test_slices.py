"""Slices as ONNX Runtime takes them."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from kakuri.model.slices import kept_elements


def test_every_start_end_and_step_of_short_axes() -> None:
    """All of starts and ends from -5 to 5, steps from -3 to 3, on axes of one to three elements."""
    named = [helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in ("s", "e", "a", "t")]
    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, ["m"])
    node = helper.make_node("Slice", ["x", "s", "e", "a", "t"], ["y"])
    graph = helper.make_graph([node], "g", [x, *named], [y])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    wrong = []
    for size in (1, 2, 3):
        for start in range(-5, 6):
            for end in range(-5, 6):
                for step in (-3, -2, -1, 1, 2, 3):
                    lists = {"s": start, "e": end, "a": 0, "t": step}
                    feeds = {name: np.array([value]) for name, value in lists.items()}
                    (expected,) = session.run(None, {"x": np.arange(size), **feeds})
                    if list(kept_elements(start, end, step, size)) != expected.tolist():
                        wrong.append((size, start, end, step, expected.tolist()))
    assert not wrong
    assert list(kept_elements(0, 5, 1, 0)) == []
