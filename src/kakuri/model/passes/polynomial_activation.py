"""Activation functions replaced by least-squares polynomials.

Requires: static shapes. Ranges come from ``kakuri.model.calibrate`` on the same model, if given.
Ensures: every activation of ``kakuri.model.activations`` (Relu, Swish as x * Sigmoid(x), Gelu, Clip ...) is one
    ``kakuri.Polynomial`` with the activation's node name and output. Polynomials already there stay.
Does not guarantee: the network's accuracy; fine-tune with the polynomial, or widen the range.
Source: S4, section 5.2 and table 5.3: least squares on ``linspace(-r, r, 1000)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from kakuri.errors import KakuriError
from kakuri.model.activations import Activation, find_activations
from kakuri.model.custom_ops import MAX_DEGREE, coefficients_attribute
from kakuri.model.graph import CUSTOM_DOMAIN, POLYNOMIAL, Editor, remove_unused, static_shape
from kakuri.model.polynomials import fit


@dataclass(frozen=True)
class PolynomialActivation:
    """How to fit. The default is the document's most accurate choice, degree 4 on [-7, 7].

    degree: of every polynomial. radius: fit on [-radius, radius] where nothing more exact is known. radii: node name
    -> radius. ranges: value name -> (min, max) from ``calibrate``; the radius is the larger magnitude times margin.
    A node's entry in ``radii`` beats its range, which beats ``radius``.
    """

    degree: int = 4
    radius: float = 7.0
    radii: Mapping[str, float] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    margin: float = 1.0


def polynomial_activation(net: ir.Model, settings: PolynomialActivation | None = None) -> ir.Model:
    """A copy of ``net`` with polynomial activations.

    Raises KK-M20 for a degree, radius or margin out of range, KK-M22 when ``radii`` names no activation, KK-M25 for an
    activation that is constant over its range.
    """
    settings = settings or PolynomialActivation()
    _check(settings)
    net = net.clone()
    edit = Editor(net)
    activations = find_activations(net)
    unknown = sorted(set(settings.radii) - {item.node.name or "" for item in activations})
    if unknown:
        raise KakuriError(
            "KK-M22",
            "these nodes are no activations",
            got=", ".join(unknown[:8]),
            limit=", ".join(item.node.name or "" for item in activations[:16]),
        )
    for item in activations:
        _replace(edit, item, settings)
    remove_unused(net)
    if activations:
        net.graph.opset_imports[CUSTOM_DOMAIN] = 1
    return net


def _check(settings: PolynomialActivation) -> None:
    if not 1 <= settings.degree <= MAX_DEGREE or not 0 < settings.margin < float("inf"):
        raise KakuriError(
            "KK-M20",
            "polynomial settings out of range",
            got=f"degree {settings.degree}, margin {settings.margin}",
            limit=f"degree 1 to {MAX_DEGREE}, margin > 0",
        )


def _radius(item: Activation, settings: PolynomialActivation) -> float:
    radius = settings.radii.get(item.node.name or "")
    if radius is not None:
        return radius
    bounds = settings.ranges.get(item.source.name or "")
    return settings.radius if bounds is None else max(abs(bound) for bound in bounds) * settings.margin


def _replace(edit: Editor, item: Activation, settings: PolynomialActivation) -> None:
    source = edit.current(item.source)
    radius = _radius(item, settings)
    coefficients = fit(item.function, settings.degree, radius)
    if not any(coefficients[1:]):
        raise KakuriError(
            "KK-M25", "this activation is constant over its range", where=item.node.name, got=f"radius {radius}"
        )
    value = edit.node(
        item.node,
        POLYNOMIAL,
        [source],
        {"coefficients": coefficients_attribute(coefficients)},
        name=f"{item.node.name}.polynomial",
        shape=static_shape(source),
        dtype=source.dtype,
        domain=CUSTOM_DOMAIN,
    )
    edit.substitute(item.node, value)
