"""The training loop.

Purpose: `train`: a recipe's epochs with its optimiser, averaging, distillation, range penalty, resumable checkpoints.
Guarantees: the result depends on module, source, recipe and seed only, and is the same after any interruption between
epochs (same machine, torch version and thread count); the caller's random state is left alone.
Does not guarantee: convergence. A loss that is not finite stops the run with KK-Z12.
Source: S4, section 5.2; Hinton, Vinyals, Dean (2015) for the distillation loss.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn, update_bn

from kakuri.errors import KakuriError
from kakuri.zoo.data.dataset import ImageDataset
from kakuri.zoo.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from kakuri.zoo.training.evaluate import accuracy_percent, to_input
from kakuri.zoo.training.forward import training_forward
from kakuri.zoo.training.optimizers import Optimizers
from kakuri.zoo.training.recipes import Recipe
from kakuri.zoo.training.sources import Batch, Source, Stream

#: Images whose statistics are taken together for `Recipe.clean_statistics`.
STATISTICS_BATCH = 1000


@dataclass(frozen=True)
class EpochReport:
    """One finished epoch. validation_percent is None when no validation part was given or it was not due."""

    epoch: int
    epochs: int
    loss: float
    train_percent: float
    validation_percent: float | None
    elapsed_seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """The module holds the final weights (averaged ones where the recipe averages); history: one report per epoch."""

    recipe: Recipe
    seed: int
    history: tuple[EpochReport, ...]

    @property
    def last(self) -> EpochReport:
        return self.history[-1]


def train(
    module: nn.Module,
    source: ImageDataset | Source | Stream,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1,
    validation: ImageDataset | None = None,
    validation_every: int = 1,
    observe: Callable[[EpochReport], None] | None = None,
    compiled: bool = False,
) -> TrainingResult:
    """Train ``module`` in place.

    source: a dataset, whose training part is augmented as the recipe says; with a teacher, a `Source` or a `Stream`.
    validation: its test part is measured, never learnt from; give ``dataset.hold_out(n)``.
    checkpoint: a file to go on from and to write every ``checkpoint_every`` epochs and at the end.
    observe: called after every epoch.
    compiled: as `training_forward` has it.
    Raises KK-Z12 when the loss is not finite, KK-Z13 when the recipe distils and the source has no teacher's answers,
    KK-Z21, KK-Z22 and KK-F10 for the checkpoint file.
    """
    batches = source if isinstance(source, Source | Stream) else Source.of(source, recipe.augmentation)
    if recipe.distillation and isinstance(batches, Source) and batches.answers is None:
        hint = "Stream.of or Source.of with teachers"
        raise KakuriError("KK-Z13", "the recipe distils but the source has no teacher", where=recipe.name, hint=hint)
    state = _State(module, recipe, math.ceil(batches.size / recipe.batch_size))
    identity = {"recipe": recipe.to_dict(), "seed": seed, "source": batches.digest, "start": _module_digest(module)}
    history: list[EpochReport] = []
    if checkpoint is not None and checkpoint.exists():
        saved = load_checkpoint(checkpoint, identity)
        state.restore(saved.tensors, checkpoint)
        history = [EpochReport(**record) for record in saved.history]
    if compiled:
        torch.compiler.reset()  # each network is a new compilation, and after eight of one function torch gives up
    started = time.perf_counter() - (history[-1].elapsed_seconds if history else 0.0)
    for epoch in range(len(history) + 1, recipe.epochs + 1):
        loss, train_percent = _run_epoch(state, batches, seed, epoch, compiled=compiled)
        due = validation is not None and (epoch % validation_every == 0 or epoch == recipe.epochs)
        measured = state.validation_percent(validation, batches) if due and validation is not None else None
        elapsed_seconds = time.perf_counter() - started
        history.append(EpochReport(epoch, recipe.epochs, loss, train_percent, measured, elapsed_seconds))
        if checkpoint is not None and (epoch % checkpoint_every == 0 or epoch == recipe.epochs):
            save_checkpoint(checkpoint, Checkpoint(identity, [asdict(report) for report in history], state.tensors()))
        if observe is not None:
            observe(history[-1])
    state.finish(batches)
    return TrainingResult(recipe, seed, tuple(history))


class _State:
    """Module, optimiser and averaged weights of one run."""

    def __init__(self, module: nn.Module, recipe: Recipe, steps_per_epoch: int) -> None:
        self.module = module
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.step = 0
        self.optimizers = Optimizers(module, recipe)
        self._current = {name: value.detach() for name, value in module.state_dict().items()}
        self.averaged = {name: value.clone() for name, value in self._current.items()}

    def learning_share(self) -> float:
        """What the schedule leaves of the recipe's learning rates in this step."""
        recipe, done = self.recipe, self.step / self.steps_per_epoch
        if done < recipe.warmup_epochs:
            return (self.step + 1) / (recipe.warmup_epochs * self.steps_per_epoch)
        if recipe.schedule == "constant":
            return 1.0
        share = (done - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * share))

    def update(self, loss: Tensor) -> None:
        """One step of the optimiser, then of the average, whose memory grows from nothing to the recipe's."""
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.gradient_clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.gradient_clip)
        self.optimizers.step(self.learning_share())
        self.step += 1
        if self.recipe.ema_decay:
            decay = min(self.recipe.ema_decay, self.step / (self.step + 10))
            average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            average(*self._pairs(floating=True), self.step)
            for old, new in zip(*self._pairs(floating=False), strict=True):
                old.copy_(new)

    def _pairs(self, *, floating: bool) -> tuple[list[Tensor], list[Tensor]]:
        """(averaged, current) tensors, weights and running statistics or counters."""
        names = [name for name, value in self.averaged.items() if value.is_floating_point() == floating]
        return [self.averaged[name] for name in names], [self._current[name] for name in names]

    def validation_percent(self, validation: ImageDataset, source: Source | Stream) -> float:
        """Accuracy of what would be the result now; the module goes on as it was."""
        kept = {name: value.clone() for name, value in self.module.state_dict().items()}
        try:
            self.finish(source)
            return accuracy_percent(self.module, validation.test_images, validation.test_labels)
        finally:
            self.module.load_state_dict(kept)
            self.module.train()

    def finish(self, source: Source | Stream) -> None:
        """The module becomes the run's result."""
        if self.recipe.ema_decay:
            self.module.load_state_dict(self.averaged)
        if self.recipe.clean_statistics:
            update_bn((to_input(part) for part in torch.split(source.images, STATISTICS_BATCH)), self.module)
        self.module.eval()

    def tensors(self) -> dict[str, Tensor]:
        named = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        named |= {f"averaged.{name}": value for name, value in self.averaged.items()}
        return named | self.optimizers.tensors() | {"step": torch.tensor(self.step)}

    def restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        """The inverse of `tensors`. Raises KK-Z21 when names or shapes do not fit the module."""
        try:
            self.step = int(tensors["step"])
            self.averaged = {name: tensors[f"averaged.{name}"].clone() for name in self.averaged}
            self.module.load_state_dict({name: tensors[f"module.{name}"] for name in self.module.state_dict()})
            self.optimizers.restore(tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            raise KakuriError("KK-Z21", "the checkpoint does not fit this network", where=path, got=error) from error


def _run_epoch(
    state: _State, batches: Source | Stream, seed: int, epoch: int, *, compiled: bool
) -> tuple[float, float]:
    """(mean loss, train accuracy in percent); all randomness comes from (seed, epoch)."""
    state.module.train()
    generator = torch.Generator().manual_seed(_epoch_seed(seed, epoch, "data"))
    total, correct = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
    penalty, limit = _penalty(state.recipe, epoch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_epoch_seed(seed, epoch, "module"))
        for batch in batches.epoch(generator, state.recipe.batch_size):
            logits, excess = training_forward(state.module, batch.images, limit, compiled=compiled)
            loss = _loss(logits, batch, state.recipe) + penalty * excess
            state.update(loss)
            total += loss.detach().double() * len(batch.labels)
            correct += (logits.detach().argmax(1) == batch.labels).sum()
    mean = float(total) / batches.size
    if not math.isfinite(mean):
        hint = "lower learning_rate or set gradient_clip"
        raise KakuriError("KK-Z12", "the loss is not finite", where=f"epoch {epoch}", got=mean, hint=hint)
    return mean, 100 * int(correct) / batches.size


def _loss(logits: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """(1 - a) CE(label) + a T^2 KL(teacher_T || student_T)."""
    a, T = recipe.distillation, recipe.temperature
    loss = logits.new_zeros(())
    if a < 1:
        loss = (1 - a) * functional.cross_entropy(logits, batch.labels, label_smoothing=recipe.label_smoothing)
    if a > 0 and batch.teacher is not None:
        student, teacher = functional.log_softmax(logits / T, 1), functional.log_softmax(batch.teacher / T, 1)
        loss = loss + a * T * T * functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return loss


def _penalty(recipe: Recipe, epoch: int) -> tuple[float, float | None]:
    """(weight of the range penalty, range for activations without their own) in an epoch; None: nothing is measured."""
    if recipe.range_penalty and epoch > recipe.range_penalty_from * recipe.epochs:
        return recipe.range_penalty, math.inf if recipe.range_limit is None else recipe.range_limit
    return 0.0, None


def _epoch_seed(seed: int, epoch: int, purpose: str) -> int:
    """63 bits that differ for every (seed, epoch, purpose)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}/{purpose}".encode()).digest()[:8], "big") >> 1


def _module_digest(module: nn.Module) -> str:
    """Names, shapes and initial values: a resumed run must start from the same module."""
    digest = hashlib.sha256(repr(module).encode())
    for name, value in module.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
