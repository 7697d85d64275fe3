"""Kakuri's own Polynomial operator, by Horner's rule."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.kernels.map import lower_map
from kakuri.codegen.literals import float_literal
from kakuri.codegen.lowering import Lowering
from kakuri.model.custom_ops import coefficients_of
from kakuri.model.graph import CUSTOM_DOMAIN, POLYNOMIAL


def _lower(walk: Lowering, node: ir.Node) -> None:
    highest, *rest = (float_literal(float(np.float32(c))) for c in reversed(coefficients_of(node)))
    lines = [f"r = vdup({highest});", *(f"r = r * v0 + {c};" for c in rest)]
    lower_map(walk, node, [walk.view(node)], lines)


KERNELS = (Kernel(POLYNOMIAL, _lower, domain=CUSTOM_DOMAIN),)
