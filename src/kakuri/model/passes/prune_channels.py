"""Channel pruning: the filters of a layer with the smallest L1 norms go, and everything that reads them.

Requires: the extra ``kakuri[torch]`` (torch, torch-pruning); works on the torch module, before export.
Ensures: on a copy, ``layer`` keeps exactly ``keep`` output channels, those with the largest L1 norm of their weights,
    in their old order; batch norms and later layers lose the matching channels. The module given is not changed.
Does not guarantee: accuracy; fine-tune afterwards (``kakuri.zoo``).
Source: S4, section 4.4; Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017; dependencies from torch-pruning
    (Fang et al., DepGraph, CVPR 2023).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

from kakuri.errors import KakuriError

if TYPE_CHECKING:
    import torch


def prune(module: torch.nn.Module, example: torch.Tensor, *, layer: str, keep: int) -> torch.nn.Module:
    """A pruned copy of ``module``.

    example: one input (batch first) to trace the module with. layer: path of a Conv2d (or 1d, 3d) or Linear. keep: how
    many of its output channels stay. Raises KK-M12 (extra missing), KK-M24 (no such layer, keep out of range, or its
    channels cannot be removed alone).
    """
    try:
        import torch  # noqa: PLC0415
        import torch_pruning  # noqa: PLC0415
    except ImportError as error:
        raise KakuriError(
            "KK-M12", f"pruning a torch module needs {error.name}", hint="pip install kakuri[torch]"
        ) from None
    pruned = copy.deepcopy(module)
    target = dict(pruned.named_modules()).get(layer)
    pruners = {
        torch.nn.Conv1d: torch_pruning.prune_conv_out_channels,
        torch.nn.Conv2d: torch_pruning.prune_conv_out_channels,
        torch.nn.Conv3d: torch_pruning.prune_conv_out_channels,
        torch.nn.Linear: torch_pruning.prune_linear_out_channels,
    }
    pruner = pruners.get(type(target)) if target is not None else None
    if target is None or pruner is None:
        raise KakuriError(
            "KK-M24",
            "no such layer to prune",
            got=layer,
            limit=", ".join(name for name, part in pruned.named_modules() if type(part) in pruners),
        )
    weight = cast("torch.Tensor", target.weight)
    channels = weight.shape[0]
    if not 1 <= keep <= channels:
        raise KakuriError("KK-M24", "keep out of range", where=layer, got=keep, limit=f"1 to {channels}")
    norms = weight.detach().abs().flatten(1).sum(dim=1)
    ranking = torch.argsort(norms, stable=True).tolist()
    doomed = sorted(ranking[: channels - keep])
    if not doomed:
        return pruned
    modes = [(part, part.training) for part in pruned.modules()]
    try:
        graph = torch_pruning.DependencyGraph().build_dependency(pruned.eval(), example_inputs=example)
        group = graph.get_pruning_group(target, pruner, idxs=doomed)
    except Exception as error:  # noqa: BLE001  tracing runs the module, which may raise anything
        raise KakuriError(
            "KK-M24",
            "the module cannot be traced for pruning",
            where=layer,
            got=type(error).__name__,
            hint="does module(example) run?",
        ) from None
    if not graph.check_pruning_group(group):
        raise KakuriError("KK-M24", "removing these channels would leave a layer empty", where=layer, got=keep)
    group.prune()
    for part, mode in modes:
        part.training = mode
    if cast("torch.Tensor", target.weight).shape[0] != keep:
        raise KakuriError("KK-M24", "the layer's channels are tied to others and cannot go alone", where=layer)
    return pruned
