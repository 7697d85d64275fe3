"""Level 2: channels in a secret order, and scaled by secret powers of two where the activations allow.

Requires: a prepared graph.
Ensures: what the graph computes is the same but for the order of sums; inputs and outputs keep their order. Powers of
two change no digit of a float32 (but of numbers below 2^-126), and go where every reader is homogeneous: ReLU, pooling,
sums.
Does not guarantee: that a thief needs the old order: the network with the new one computes the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.codegen.protect.channels import Channels, Run, Runs, Use, analyse
from kakuri.codegen.protect.draws import Draws
from kakuri.model.graph import Editor, constant, input_of, integer

_EXPONENTS = 7  # -3 ... 3


def permute(net: ir.Model, draws: Draws) -> ir.Model:
    """A copy of ``net`` as the module head states."""
    net = net.clone()
    edit, found = Editor(net), analyse(net)
    for use in found.uses:
        _apply(edit, found, draws, use)
    return net


def _apply(edit: Editor, found: Channels, draws: Draws, use: Use) -> None:
    order = _order(found, draws, use.runs)
    factors = _factors(found, draws, use.runs) ** use.power
    value = input_of(use.node, use.index)
    stored = constant(value)
    if stored is not None:
        shape = [1] * stored.ndim
        shape[use.axis] = -1
        moved: NDArray[Any] = np.take(stored, order, use.axis)
        if stored.dtype == np.float32:
            moved = np.asarray(moved * factors[order].reshape(shape), np.float32)
        edit.replace_constant(use.node, use.index, moved)
        return
    chain = value.producer() if value is not None else None
    assert chain is not None, "a parameter is a constant or dequantized"
    levels = constant(chain.inputs[0])
    assert levels is not None, "as channels.parameter found it"
    edit.replace_constant(chain, 0, np.take(levels, order, use.axis))
    if integer(chain, "axis", 1) % levels.ndim == use.axis:
        for index in (1, 2):
            steps = constant(input_of(chain, index))
            if steps is not None and steps.size > 1:
                edit.replace_constant(chain, index, steps[order])


def _order(found: Channels, draws: Draws, runs: Runs) -> NDArray[np.int64]:
    """New place -> old place along an axis made of ``runs``."""
    parts, start = [], 0
    for run in runs:
        own = np.arange(run.channels)
        if not found.is_pinned(run.group):
            own = draws.permutation(f"channels {found.root(run.group)}", run.channels)
        parts.append((start + own[:, None] * run.block + np.arange(run.block)).reshape(-1))
        start += run.channels * run.block
    return np.concatenate(parts)


def _factors(found: Channels, draws: Draws, runs: Runs) -> NDArray[np.float64]:
    """Per old place."""
    return np.concatenate([np.repeat(_of_group(found, draws, run), run.block) for run in runs])


def _of_group(found: Channels, draws: Draws, run: Run) -> NDArray[np.float64]:
    if not found.is_scalable(run.group):
        return np.ones(run.channels)
    label = f"scales {found.root(run.group)}"
    return np.exp2(draws.below(label, run.channels, _EXPONENTS) - _EXPONENTS // 2)
