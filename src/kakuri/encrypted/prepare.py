"""The passes that turn a loaded model into the network that is compiled.

Order matters and is stated here once: shapes are normalised, batch normalisation disappears into the convolution,
elementwise arithmetic becomes polynomials, coefficients move into neighbouring weights, tiny weights are rounded.
"""

from __future__ import annotations

import onnx_ir as ir

from kakuri.model.passes.fold_batchnorm import fold_batchnorm
from kakuri.model.passes.fold_coefficients import fold_coefficients
from kakuri.model.passes.normalize_linear import normalize_linear
from kakuri.model.passes.recognize_polynomial import recognize_polynomial
from kakuri.model.passes.round_small_weights import round_small_weights

SMALLEST_WEIGHT = 1e-7  # S4 section 5.3


def normalize(net: ir.Model) -> ir.Model:
    """Everything that does not depend on weights' sizes; what ``check`` looks at."""
    return recognize_polynomial(fold_batchnorm(normalize_linear(net)))


def prepare(net: ir.Model) -> ir.Model:
    """The model as it is compiled; same function as ``net`` up to ``SMALLEST_WEIGHT`` per weight."""
    return round_small_weights(fold_coefficients(normalize(net)), epsilon=SMALLEST_WEIGHT)
