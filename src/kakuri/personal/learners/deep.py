"""Training deeper than the head, in torch: all layers, the last ones, or low-rank additions to all.

Purpose: for personal data that the server's trunk does not tell apart; needs a form with pictures.
Guarantees: as ``learner.Learner``, with torch's deterministic algorithms on one thread. Batch-norm statistics stay the
server's, so that a few photos cannot shift them.
Does not guarantee: speed; a step costs about three passes through the whole trunk.
Source: low-rank additions: Hu et al., LoRA, ICLR 2022, here for convolutions too (a kernel as a matrix, out by in*k*k).

| method | what changes |
| --- | --- |
| full | every weight |
| last-layers | the last two layers with weights before the head, and the head |
| lora | W + B A for every matrix and kernel, rank 4, and the head; B starts at zero |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from kakuri.errors import KakuriError
from kakuri.model.serialize import from_bytes
from kakuri.model.to_torch import GraphModule, to_torch
from kakuri.personal import forms
from kakuri.personal.dataset import Int64, UInt8
from kakuri.personal.handoff import Handoff
from kakuri.personal.inputs.spec import InputSpec
from kakuri.personal.learners.learner import Float32, Learned, State, balanced_batches, with_new_rows
from kakuri.personal.linear import Head
from kakuri.trust.entropy import SeededRandomness

_RANK = 4
_LAST = 2


@dataclass(frozen=True)
class DeepSettings:
    """rate: of SGD with momentum, cosine to zero over all epochs. clip: largest norm of a step's gradient.

    Without a clip a trunk whose batch-norm statistics stay fixed can blow up in the first steps: nothing scales its
    activations back.
    """

    rate: float = 0.01
    clip: float = 1.0
    momentum: float = 0.9
    decay: float = 1e-4
    batch: int = 32


class _LowRank(nn.Module):
    """W -> W + B A, for a weight of two or more axes; W itself stays."""

    def __init__(self, weight: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(_RANK, rows, columns)
        self.a = nn.Parameter(torch.randn(rank, columns, generator=generator) / columns**0.5)
        self.b = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.b @ self.a).reshape(weight.shape)


class DeepLearner:
    """samples: (n, C, H, W) uint8 views. labels: (n,) below ``classes``."""

    def __init__(
        self,
        trunk: GraphModule,
        samples: UInt8,
        labels: Int64,
        head: Head,
        classes: int,
        *,
        method: str,
        epochs: int,
        spec: InputSpec,
        randomness: SeededRandomness,
        settings: DeepSettings | None = None,
    ) -> None:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads what it did not write
        self._settings, self._epochs, self._spec = settings or DeepSettings(), epochs, spec
        self._x, self._y, self._randomness = samples, labels, randomness
        self._trunk = trunk
        trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.6 times as fast on faces
        start = with_new_rows(head, self._features(samples), labels, classes)
        self._head = nn.Linear(start.weight.shape[1], classes)
        self._head.load_state_dict({"weight": torch.from_numpy(start.weight), "bias": torch.from_numpy(start.bias)})
        self._names = dict(trunk.initializer_names)
        trained = [*self._prepare(method), *self._head.parameters()]
        s = self._settings
        self._optimizer = torch.optim.SGD(trained, s.rate, momentum=s.momentum, weight_decay=s.decay)
        self._trained = trained
        self._velocity = [torch.zeros_like(p) for p in trained]

    @classmethod
    def from_handoff(
        cls,
        handoff: Handoff,
        views: UInt8,
        labels: Int64,
        *,
        classes: int,
        method: str,
        epochs: int,
        randomness: SeededRandomness,
    ) -> DeepLearner:
        """The general samples of the package and the personal ``views``. Raises KK-P36 for a form without pictures."""
        terms = handoff.terms
        if terms.form not in forms.WITH_PICTURES:
            raise KakuriError(
                "KK-P36",
                f"the method {method} needs general samples as pictures",
                got=terms.form,
                limit=", ".join(forms.WITH_PICTURES),
            )
        general, general_labels = forms.training_samples(terms.form, handoff.samples(), terms.recipe, terms.seed)
        return cls(
            to_torch(from_bytes(handoff.trunk_onnx())),
            np.concatenate([general, views]),
            np.concatenate([general_labels, labels]),
            handoff.head(),
            classes,
            method=method,
            epochs=epochs,
            spec=terms.input,
            randomness=randomness,
        )

    def _prepare(self, method: str) -> list[Tensor]:
        """The trunk's parameters that ``method`` trains."""
        named = list(self._trunk.named_parameters())
        if method == "full":
            return [*self._trunk.parameters()]
        for _, parameter in named:
            parameter.requires_grad_(False)
        matrices = [name for name, parameter in named if parameter.ndim >= 2]
        if method == "last-layers":
            return [self._trunk.get_parameter(name).requires_grad_(True) for name in matrices[-_LAST:]]
        seed = self._randomness.child("lora").generator().integers(2**63)
        generator = torch.Generator().manual_seed(int(seed))
        for name in matrices:
            parametrize.register_parametrization(
                self._trunk, name, _LowRank(self._trunk.get_parameter(name), generator), unsafe=True
            )
        return [parameter for parameter in self._trunk.parameters() if parameter.requires_grad]

    def epoch(self, index: int) -> float:
        s, losses = self._settings, []
        rate = s.rate * 0.5 * (1 + np.cos(np.pi * index / self._epochs))
        for group in self._optimizer.param_groups:
            group["lr"] = float(rate)
        self._load_velocity()
        for chosen in balanced_batches(self._y, s.batch, self._randomness.child(f"epoch {index}").generator()):
            self._optimizer.zero_grad()
            scores = self._head(self._trunk(torch.from_numpy(self._spec.normalize(self._x[chosen]))))
            loss = functional.cross_entropy(scores, torch.from_numpy(self._y[chosen]))
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._trained, s.clip)
            self._optimizer.step()
            losses.append(loss.item())
        if not np.isfinite(losses).all():
            raise KakuriError(
                "KK-P37", "training diverged", where=f"epoch {index}", got=losses[-1], limit="finite loss"
            )
        self._keep_velocity()
        return float(np.mean(losses))

    def state(self) -> dict[str, NDArray[Any]]:
        weights = {f"weight.{i}": p.detach().numpy().copy() for i, p in enumerate(self._trained)}
        return weights | {f"velocity.{i}": v.numpy().copy() for i, v in enumerate(self._velocity)}

    def restore(self, state: State) -> None:
        with torch.no_grad():
            for i, parameter in enumerate(self._trained):
                parameter.copy_(torch.from_numpy(state[f"weight.{i}"]))
                self._velocity[i] = torch.from_numpy(state[f"velocity.{i}"].copy())

    def learned(self) -> Learned:
        with torch.no_grad():
            head = Head(self._head.weight.numpy().copy(), self._head.bias.numpy().copy())
            weights = {name: getattr(self._trunk, own).detach().numpy().copy() for own, name in self._names.items()}
        return Learned(head, weights)

    def _features(self, samples: UInt8) -> Float32:
        with torch.no_grad():
            rows = [
                self._trunk(torch.from_numpy(self._spec.normalize(samples[at : at + 64]))).numpy()
                for at in range(0, len(samples), 64)
            ]
        return np.concatenate(rows)

    def _load_velocity(self) -> None:
        for parameter, velocity in zip(self._trained, self._velocity, strict=True):
            self._optimizer.state[parameter]["momentum_buffer"] = velocity

    def _keep_velocity(self) -> None:
        self._velocity = [self._optimizer.state[p]["momentum_buffer"] for p in self._trained]
