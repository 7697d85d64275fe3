"""ONNX Runtime's values of a model with any number of inputs; the oracle for float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.passes import expand_polynomial
from kakuri.model.runtime import onnxruntime

Inputs = Mapping[str, NDArray[Any]]
Evaluator = Callable[[Inputs], list[NDArray[Any]]]


def outputs_of(net: ir.Model, inputs: Inputs, names: Sequence[str]) -> list[NDArray[Any]]:
    """The named values, in order. Raises KK-M17 when the runtime refuses the model."""
    return evaluator(net, names)(inputs)


def evaluator(net: ir.Model, names: Sequence[str]) -> Evaluator:
    """A function that gives the named values for inputs. It, and this, raise KK-M17 when the runtime refuses."""
    expanded = expand_polynomial(net)
    values = {value.name: value for node in expanded.graph for value in node.outputs}
    present = {value.name for value in expanded.graph.outputs}
    for name in dict.fromkeys(names):
        if name not in present:
            expanded.graph.outputs.append(values[name])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    data = ir.to_proto(expanded).SerializeToString()
    session = _refused(lambda: onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]))
    return lambda inputs: list(_refused(lambda: session.run(list(names), dict(inputs))))


def _refused(attempt: Callable[[], Any]) -> Any:
    """What ``attempt`` gives; KK-M17 for whatever it raises."""
    try:
        return attempt()
    except Exception as error:  # noqa: BLE001  the runtime's exception types are not public
        lines = str(error).splitlines() or [type(error).__name__]
        raise KakuriError("KK-M17", "ONNX Runtime cannot run this model", got=ascii(lines[0][:200])) from None
