"""Low-rank additions to weights: W -> W + B A, of which A and B are trained and W is not.

Guarantees: B starts at zero, so that the first forward pass is the old model's.
Source: Hu et al., LoRA, ICLR 2022, here for convolutions too (a kernel as a matrix, out by in*k*k).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_RANK = 4


class _LowRank(nn.Module):
    """For a weight of two or more axes."""

    def __init__(self, weight: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(_RANK, rows, columns)
        self.a = nn.Parameter(torch.randn(rank, columns, generator=generator) / columns**0.5)
        self.b = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.b @ self.a).reshape(weight.shape)


def add_low_rank(module: nn.Module, name: str, generator: torch.Generator) -> None:
    """The parameter ``name`` of ``module`` gets an addition; the parameter itself should not ask for gradients."""
    addition = _LowRank(module.get_parameter(name), generator)
    parametrize.register_parametrization(module, name, addition, unsafe=True)
