"""Products of two computed matrices, with batch axes: ``runtime/matmul.h``, correct rather than fast."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from kakuri.codegen.copy import Copy
from kakuri.codegen.loops import Axis, nest
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.model.graph import static_shape


@dataclass(frozen=True)
class MatMul(Operation):
    """left (..., M, K), right (..., K, N), target (..., M, N), batch axes broadcast already."""

    name: str
    left: View
    right: View
    target: View

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.left, self.right)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("matmul.h",)

    def body(self) -> str:
        views = (self.target, self.left, self.right)
        batch = [
            Axis(size, tuple(view.strides[axis] for view in views))
            for axis, size in enumerate(self.target.shape[:-2])
            if size != 1
        ]
        (m, n), k = self.target.shape[-2:], self.left.shape[-1]
        a, b, c = self.left.strides[-2:], self.right.strides[-2], self.target.strides[-2]
        head = [
            f"float *c = {pointer(self.target)};",
            f"const float *a = {pointer(self.left)}, *b = {pointer(self.right)};",
        ]
        call = f"kk_matmul(a, {a[0]}, {a[1]}, b, {b}, c, {c}, {m}, {n}, {k});"
        return nest(head, batch, ["c", "a", "b"], [call])


def emit(walk: Lowering, node: ir.Node) -> None:
    left, right, value = walk.view(node, 0), walk.dense(walk.view(node, 1)), node.outputs[0]
    if len(left.shape) == 1:
        left = View(left.storage, left.offset, (1, *left.shape), (0, *left.strides))
    one_column = len(right.shape) == 1
    if one_column:
        right = View(right.storage, right.offset, (*right.shape, 1), (*right.strides, 0))
    shape = static_shape(value)
    target = walk.new(value, range(len(shape)))
    whole = target if target.is_dense() else walk.scratch(shape, range(len(shape)))
    batch = max(left.shape[:-2], right.shape[:-2], key=len)
    batch = tuple(max(_size(left, axis), _size(right, axis)) for axis in range(-len(batch) - 2, -2))
    full = (*batch, left.shape[-2], right.shape[-1])
    into = whole.reshape(full)
    assert into is not None, "a dense view has every shape"
    walk.emit(
        MatMul(
            node.name or "matmul",
            left.broadcast((*batch, *left.shape[-2:])),
            right.broadcast((*batch, *right.shape[-2:])),
            into,
        )
    )
    if whole is not target:
        walk.emit(moved(node, whole, target))


def _size(view: View, axis: int) -> int:
    return view.shape[axis] if len(view.shape) >= -axis else 1


def moved(node: ir.Node, source: View, target: View) -> Copy:
    """A result brought to where it is wanted."""
    return Copy(node.name or "copy", source, target)
