"""Training deeper than the head, in torch: all layers, the last ones, or low-rank additions to all.

Purpose: for personal data that the server's trunk does not tell apart; needs a form with pictures.
Guarantees: as ``learner.Learner``, with torch's deterministic algorithms on one thread. What is learnt is the moving
average of the weights over the steps. Batch normalisation: ``full`` takes each batch's statistics and learns new ones
(batches are balanced, so a few photos do not shift them); the other methods keep the server's.
Does not guarantee: speed; a step costs about three passes through the whole trunk.

| method | what changes |
| --- | --- |
| full | every weight |
| last-layers | the last two layers with weights before the head, and the head |
| lora | W + B A for every matrix and kernel, rank 4, and the head (``low_rank``) |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from kakuri.errors import KakuriError
from kakuri.model.serialize import from_bytes
from kakuri.model.to_torch import GraphModule, to_torch
from kakuri.personal import forms
from kakuri.personal.dataset import Int64, UInt8
from kakuri.personal.handoff import Handoff
from kakuri.personal.inputs.spec import InputSpec
from kakuri.personal.learners.adamw import AdamW
from kakuri.personal.learners.learner import Float32, Learned, State, balanced_batches, with_new_rows
from kakuri.personal.learners.low_rank import add_low_rank
from kakuri.personal.linear import Head
from kakuri.trust.entropy import SeededRandomness

_LAST = 2


@dataclass(frozen=True)
class DeepSettings:
    """rate: of AdamW, cosine to zero over all epochs after a linear rise of ``warm_up`` epochs; low_rank_rate: the same
    for ``lora``, whose additions start at nothing. average: share of the weights' moving average that a step keeps, in
    the long run.
    """

    rate: float = 3e-3
    low_rank_rate: float = 1e-2
    warm_up: float = 0.5
    decay: float = 1e-2
    average: float = 0.99
    batch: int = 64


class DeepLearner:
    """samples: (n, C, H, W) uint8 views. labels: (n,) below ``classes``. mirror: half of every batch, drawn anew."""

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
        mirror: bool,
        randomness: SeededRandomness,
        settings: DeepSettings | None = None,
    ) -> None:
        torch.set_num_threads(1)
        torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms also loads the compiler, 39 MiB
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads what it did not write
        self._settings, self._epochs, self._spec = settings or DeepSettings(), epochs, spec
        self._x, self._y, self._mirror, self._randomness = samples, labels, mirror, randomness
        self._trunk = trunk
        trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.6 times as fast on faces
        trunk.learns_statistics = method == "full" and len(samples) > 1
        start = with_new_rows(head, self._features(samples), labels, classes)
        self._head = nn.Linear(start.weight.shape[1], classes)
        self._head.load_state_dict({"weight": torch.from_numpy(start.weight), "bias": torch.from_numpy(start.bias)})
        self._names = dict(trunk.initializer_names)
        trained = [*self._prepare(method), *self._head.parameters()]
        self._rate = self._settings.low_rank_rate if method == "lora" else self._settings.rate
        self._optimizer = AdamW(trained, self._settings.decay)
        statistics = trunk.buffers() if trunk.learns_statistics else ()
        self._changing = [*(parameter.detach() for parameter in trained), *statistics]
        self._averages = [tensor.clone() for tensor in self._changing]

    @classmethod
    def from_handoff(
        cls,
        handoff: Handoff,
        arrays: forms.Arrays,
        views: UInt8,
        labels: Int64,
        *,
        classes: int,
        method: str,
        epochs: int,
        randomness: SeededRandomness,
    ) -> DeepLearner:
        """arrays: the package's samples. views: personal ones. Raises KK-P36 for a form without pictures."""
        terms = handoff.terms
        if terms.form not in forms.WITH_PICTURES:
            raise KakuriError(
                "KK-P36",
                f"the method {method} needs general samples as pictures",
                got=terms.form,
                limit=", ".join(forms.WITH_PICTURES),
            )
        general, general_labels = forms.training_samples(terms.form, arrays, terms.recipe, terms.seed)
        return cls(
            to_torch(from_bytes(handoff.trunk_onnx())),
            np.concatenate([general, views]),
            np.concatenate([general_labels, labels]),
            handoff.head(),
            classes,
            method=method,
            epochs=epochs,
            spec=terms.input,
            mirror=terms.recipe.flip,
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
            add_low_rank(self._trunk, name, generator)
        return [parameter for parameter in self._trunk.parameters() if parameter.requires_grad]

    def epoch(self, index: int) -> float:
        s, losses = self._settings, []
        generator = self._randomness.child(f"epoch {index}").generator()
        batches = balanced_batches(self._y, s.batch, generator)
        for at, chosen in enumerate(batches):
            if len(chosen) == 1 < len(batches):
                continue  # one sample has no statistics
            x = self._x[chosen]
            if self._mirror:
                x = np.where(generator.random((len(x), 1, 1, 1)) < 0.5, x[..., ::-1], x)
            scores = self._head(self._trunk(torch.from_numpy(self._spec.normalize(x))))
            loss = functional.cross_entropy(scores, torch.from_numpy(self._y[chosen]))
            loss.backward()  # type: ignore[no-untyped-call]
            self._step(index + at / len(batches), len(batches))
            losses.append(loss.item())
        if not np.isfinite(losses).all():
            raise KakuriError(
                "KK-P37", "training diverged", where=f"epoch {index}", got=losses[-1], limit="finite loss"
            )
        return float(np.mean(losses))

    def _step(self, done: float, steps_per_epoch: int) -> None:
        """done: epochs before this step."""
        s = self._settings
        rising = (done + 1 / steps_per_epoch) / s.warm_up
        falling = 0.5 * (1 + np.cos(np.pi * max(0.0, done - s.warm_up) / max(self._epochs - s.warm_up, 1e-9)))
        self._optimizer.step(self._rate * float(min(rising, falling)))
        steps = self._optimizer.steps
        torch._foreach_lerp_(self._averages, self._changing, 1 - min(s.average, steps / (steps + 10)))

    def state(self) -> dict[str, NDArray[Any]]:
        made = {name: tensor.numpy().copy() for name, tensor in self._held()}
        return made | {"steps": np.array(self._optimizer.steps)}

    def restore(self, state: State) -> None:
        for name, tensor in self._held():
            tensor.copy_(torch.from_numpy(state[name]))
        self._optimizer.steps = int(state["steps"])

    def _held(self) -> list[tuple[str, Tensor]]:
        """All that training changes, by name."""
        groups = {"value": self._changing, "average": self._averages, "moment": self._optimizer.tensors}
        return [(f"{key}.{i}", tensor) for key, tensors in groups.items() for i, tensor in enumerate(tensors)]

    def learned(self) -> Learned:
        kept = [tensor.clone() for tensor in self._changing]
        with torch.no_grad():
            torch._foreach_copy_(self._changing, self._averages)
            head = Head(self._head.weight.numpy().copy(), self._head.bias.numpy().copy())
            weights = {name: getattr(self._trunk, own).detach().numpy().copy() for own, name in self._names.items()}
            torch._foreach_copy_(self._changing, kept)
        return Learned(head, weights)

    def _features(self, samples: UInt8) -> Float32:
        self._trunk.eval()
        with torch.no_grad():
            rows = [
                self._trunk(torch.from_numpy(self._spec.normalize(samples[at : at + 16]))).numpy().copy()
                for at in range(0, len(samples), 16)
            ]
        self._trunk.train()
        return np.concatenate(rows)
