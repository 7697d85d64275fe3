"""Which layers of a module can be offloaded, and why the others stay in the master.

Purpose: one walk for ``kk.check`` and ``plan``.
Guarantees: a layer is offloaded only when its products are exactly those of ``nn.Linear`` or ``nn.Conv2d`` without
groups; every other module with weights is named with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from kakuri.errors import KakuriError
from kakuri.model.report import ModelProblem, Severity

_DTYPES = (torch.float32, torch.float64)
_PRODUCTS = "give its products to nn.Linear or nn.Conv2d"
_NOT_BUILT: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.MultiheadAttention, "write attention with nn.Linear projections"),
    (nn.RNNBase, _PRODUCTS),
    (nn.RNNCellBase, _PRODUCTS),
    (nn.modules.conv._ConvNd, "only nn.Conv2d is offloaded"),
    (nn.Bilinear, _PRODUCTS),
    (nn.Linear, "use nn.Linear itself"),
)
_ELEMENTWISE = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.PReLU)


@dataclass(frozen=True)
class Selection:
    """layers: names of modules to offload, in order. problems: what stays in the master although it has products."""

    layers: tuple[str, ...]
    problems: tuple[ModelProblem, ...]


def select(module: object) -> Selection:
    """Raises KK-O05 for anything but a torch module."""
    if not isinstance(module, nn.Module):
        raise KakuriError(
            "KK-O05",
            "offload takes a torch module",
            got=type(module).__name__,
            hint="pass the nn.Module that you train",
        )
    users: dict[int, int] = {}
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            users[id(parameter)] = users.get(id(parameter), 0) + 1
    layers: list[str] = []
    problems: list[ModelProblem] = []
    inside: list[str] = []  # modules whose children their own code reads
    for name, part in module.named_modules():
        if any(name.startswith(f"{other}.") for other in inside):
            continue
        found = _problem(name, part, users)
        if found is not None:
            problems.append(found)
            inside.append(name)
        elif isinstance(part, (nn.Linear, nn.Conv2d)):
            layers.append(name)
    if not layers:
        problems.append(
            ModelProblem("KK-O17", Severity.NEVER, "", type(module).__name__, "has no layer that can be offloaded")
        )
    return Selection(tuple(layers), tuple(problems))


def _problem(name: str, part: nn.Module, users: dict[int, int]) -> ModelProblem | None:
    own = list(part.parameters(recurse=False))
    if type(part) in (nn.Linear, nn.Conv2d):
        why = _layer_problem(part, own, users)
    elif isinstance(part, (nn.Embedding, nn.EmbeddingBag)):
        why = ("KK-O13", "a lookup is not a product", "nothing to do; it costs little")
    else:
        why = next(
            (("KK-O12", "its products are not offloaded", hint) for kind, hint in _NOT_BUILT if isinstance(part, kind)),
            None,
        )
        if why is None and own and not isinstance(part, _ELEMENTWISE):
            why = ("KK-O11", "it uses parameters of its own", _PRODUCTS)
    if why is None:
        return None
    code, what, hint = why
    return ModelProblem(code, Severity.REPLACEABLE, name, type(part).__name__, f"stays in the master: {what}", hint)


def _layer_problem(part: nn.Module, own: list[nn.Parameter], users: dict[int, int]) -> tuple[str, str, str] | None:
    """Code, reason and hint of a Linear or Conv2d that cannot be offloaded."""
    if any(users[id(parameter)] > 1 for parameter in own):
        return "KK-O14", "its weight is shared with another module", "give each layer a weight of its own"
    if any(p.dtype not in _DTYPES or p.device.type != "cpu" for p in own):
        hint = "move the module to the CPU in float32; workers have the accelerators"
        return "KK-O16", "its weight is not float32 or float64 on the CPU", hint
    if hasattr(part, "parametrizations"):
        return "KK-O15", "its weight is computed by a parametrization", "remove the parametrization"
    if isinstance(part, nn.Conv2d) and part.groups != 1:
        return "KK-O10", f"a convolution of {part.groups} groups", "it costs little; leave it"
    return None
