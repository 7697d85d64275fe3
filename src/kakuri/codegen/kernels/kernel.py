"""What a kernel file exports: for each operator, how it is checked and how it becomes operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from kakuri.codegen.lowering import Lowering
from kakuri.model.support import NodeCheck, allowed


@dataclass(frozen=True)
class Kernel:
    """lower: appends the operations of a node and gives its outputs their views. check: yields its problems."""

    op_type: str
    lower: Callable[[Lowering, ir.Node], None]
    check: NodeCheck = allowed
    domain: str = ""
