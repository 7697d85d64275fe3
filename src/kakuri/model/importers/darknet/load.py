"""``load`` for Darknet: x.cfg with x.weights beside it becomes a model in normal form.

Guarantees: any pair of files gives a model or a KakuriError; every unsupported layer is named at once; the weights file
    is read only after its length fits; layers keep Darknet's numbers (``kakuri.model.layers``), dropout and cost too.
Does not guarantee: networks with recurrent, detection or upsampling layers; those are refused.
Input: (1, channels, height, width) float32 as Darknet feeds it: RGB, 0 to 1. Output: the last layer's.
"""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import onnx_ir as ir

from kakuri.errors import KakuriError, Problem
from kakuri.model.importers.darknet.cfg import Section, read_cfg
from kakuri.model.importers.darknet.graph import GraphWriter
from kakuri.model.importers.darknet.layers import RULES, Place, Planned, Shape
from kakuri.model.importers.darknet.weights import read_weights
from kakuri.model.importers.onnx import normalize, parse
from kakuri.model.layers import mark_layers
from kakuri.model.limits import DEFAULT_LIMITS, Limits


def load_darknet(path: Path, limits: Limits = DEFAULT_LIMITS) -> ir.Model:
    """Read ``path`` (.cfg) and the .weights file of the same name. Raises KK-F12, KK-F13, KK-M02 to KK-M07,
    KK-M40 to KK-M44."""
    head, *sections = read_cfg(path)
    shape = _input_shape(head)
    plans = _plan(sections, shape, limits)
    proto = _write(path, shape, plans, limits)
    net = normalize(parse(proto.SerializeToString(), limits), limits)
    mark_layers(net, [section.kind for section in sections])
    return net


def _input_shape(head: Section) -> Shape:
    channels, height, width = (head.integer(name, 0, 0, 1 << 16) for name in ("channels", "height", "width"))
    if channels and height and width:
        return channels, height, width
    inputs = head.integer("inputs", 0, 0, 1 << 28)
    if not inputs:
        raise KakuriError("KK-M40", "no input shape", where=head.where, hint="channels, height and width, or inputs")
    return (inputs,)


def _plan(sections: list[Section], shape: Shape, limits: Limits) -> list[Planned]:
    unknown = [
        Problem("KK-M43", "this kind of layer is not supported", section.where, limit=", ".join(sorted(RULES)))
        for section in sections
        if section.kind not in RULES
    ]
    if unknown:
        raise KakuriError.collect(unknown)
    plans: list[Planned] = []
    for index, section in enumerate(sections):
        outputs = [plan.output for plan in plans]
        plan = RULES[section.kind](Place(section, index, outputs[-1] if outputs else shape, outputs))
        if math.prod(plan.output) > limits.value_elements:
            raise KakuriError(
                "KK-M03", "the layer is too large", where=section.where, got=plan.output, limit=limits.value_elements
            )
        plans.append(plan)
    return plans


def _write(path: Path, shape: Shape, plans: list[Planned], limits: Limits) -> onnx.ModelProto:
    graph = GraphWriter()
    value = "input"
    arrays = read_weights(path.with_suffix(".weights"), plans, limits.file_bytes)
    for index, (plan, parameters) in enumerate(zip(plans, arrays, strict=True)):
        graph.layer = index
        value = plan.emit(graph, value, parameters)
        graph.outputs.append(value)
    return graph.finish(path.stem, shape, value)
