"""The optimisers of a recipe, and their state as named tensors.

Purpose: AdamW for every parameter, or Muon for the weights of convolutions and AdamW for the rest; both are torch's.
Guarantees: `tensors` and `restore` carry everything that the next step depends on.
Does not guarantee: the same bytes from another torch version or thread count.
Source: Loshchilov, Hutter (2019) for AdamW; Jordan et al., "Muon: an optimizer for hidden layers" (2024), whose steps
are the momentum's nearest matrix with equal singular values; a convolution's weight is a matrix with a row per filter.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kakuri.zoo.training.recipes import Recipe

_ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


class Optimizers:
    """Steps of one run. `step` takes the share of the recipe's learning rates that the schedule gives."""

    def __init__(self, module: nn.Module, recipe: Recipe) -> None:
        self._recipe = recipe
        named = dict(module.named_parameters())
        convolutions = {id(part.weight) for part in module.modules() if isinstance(part, nn.Conv2d)}
        muon = recipe.optimizer == "muon"
        self._filters = {name: value for name, value in named.items() if muon and id(value) in convolutions}
        self._others = {name: value for name, value in named.items() if name not in self._filters}
        self._adamw = torch.optim.AdamW(
            self._others.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        # Views on the filters' memory: Muon accepts matrices only.
        self._matrices = {name: nn.Parameter(value.detach().flatten(1)) for name, value in self._filters.items()}
        self._muon = torch.optim.Muon(self._matrices.values()) if self._matrices else None

    def step(self, share: float) -> None:
        """One step with the gradients that the parameters carry; they are dropped afterwards."""
        for group in self._adamw.param_groups:
            group["lr"] = share * self._recipe.learning_rate
        self._adamw.step()
        self._adamw.zero_grad()
        if self._muon is not None:
            for name, value in self._filters.items():
                self._matrices[name].grad = None if value.grad is None else value.grad.flatten(1)
                value.grad = None
            for group in self._muon.param_groups:
                group["lr"] = share * self._recipe.muon_learning_rate
            self._muon.step()  # type: ignore[no-untyped-call]

    def tensors(self) -> dict[str, Tensor]:
        """State by the parameter's name; before the first step there is none."""
        named = {
            f"optimizer.{name}.{key}": value
            for name, parameter in self._others.items()
            for key, value in self._adamw.state[parameter].items()
        }
        if self._muon is not None:
            for name, matrix in self._matrices.items():
                named |= {f"optimizer.{name}.{key}": value for key, value in self._muon.state[matrix].items()}
        return named

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`, after a step. Raises KeyError for a name that is missing."""
        for name, parameter in self._others.items():
            self._adamw.state[parameter] = {k: tensors[f"optimizer.{name}.{k}"].clone() for k in _ADAM_STATE}
        if self._muon is not None:
            for name, matrix in self._matrices.items():
                momentum = tensors[f"optimizer.{name}.momentum_buffer"].clone()
                self._muon.state[matrix] = {"momentum_buffer": momentum}
