"""The passes that run before a network is checked and lowered."""

from __future__ import annotations

import onnx_ir as ir

from kakuri.codegen.fold_pads import fold_pads
from kakuri.codegen.fold_weights import fold_weights
from kakuri.model.passes import fold_batchnorm, normalize_linear, remove_identities


def prepare(net: ir.Model) -> ir.Model:
    """Batch normalisation and padding folded into the layers beside them, one spelling for each linear layer."""
    return fold_pads(fold_batchnorm(normalize_linear(fold_weights(remove_identities(net)))))
