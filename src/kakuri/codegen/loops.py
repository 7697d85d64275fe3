"""Loop nests over several views of one shape.

Purpose: the axes all operands share, merged where every operand allows it, slowest first in the first operand's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kakuri.codegen.views import View


@dataclass(frozen=True)
class Axis:
    """size: how many steps. strides: elements that each operand advances by in one."""

    size: int
    strides: tuple[int, ...]


def axes_of(views: Sequence[View]) -> list[Axis]:
    """The loops over ``views``, which have one shape; none of size 1, the first view's fastest axis last."""
    shape = views[0].shape
    order = sorted(
        (axis for axis in range(len(shape)) if shape[axis] != 1),
        key=lambda axis: (-abs(views[0].strides[axis]), axis),
    )
    axes: list[Axis] = []
    for index in order:
        axis = Axis(shape[index], tuple(view.strides[index] for view in views))
        if axes and all(o == axis.size * i for o, i in zip(axes[-1].strides, axis.strides, strict=True)):
            axes[-1] = Axis(axes[-1].size * axis.size, axis.strides)
        else:
            axes.append(axis)
    return axes


def nest(head: Sequence[str], axes: Sequence[Axis], pointers: Sequence[str], inner: Sequence[str]) -> str:
    """``head``, then ``inner`` inside one loop per axis; the named pointers advance with the loops."""
    lines = list(head)
    for depth, axis in enumerate(axes):
        pad = "    " * depth
        steps = ", ".join(f"{name} += {stride}" for name, stride in zip(pointers, axis.strides, strict=True) if stride)
        counter = f"i{depth}"
        lines.append(
            f"{pad}for (int {counter} = 0; {counter} < {axis.size}; {counter}++{', ' if steps else ''}{steps}) {{"
        )
    pad = "    " * len(axes)
    lines += [pad + line for line in inner]
    for depth in reversed(range(len(axes))):
        pad = "    " * depth
        back = [
            f"{name} -= {stride * axes[depth].size};"
            for name, stride in zip(pointers, axes[depth].strides, strict=True)
            if stride and depth
        ]
        lines.append(f"{pad}}}")
        if back:
            lines.append(f"{pad}{' '.join(back)}")
    return "\n".join(lines)
