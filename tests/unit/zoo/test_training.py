"""Training: resuming changes nothing, averages and losses are what they claim, wrong files are refused."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from kakuri.errors import KakuriError
from kakuri.zoo import networks
from kakuri.zoo.data import ImageDataset
from kakuri.zoo.training import (
    RECIPES,
    Augmentation,
    EpochReport,
    Recipe,
    Source,
    Stream,
    accuracy_percent,
    largest_activation_inputs,
    logits_of,
    progress_bar,
    train,
)
from kakuri.zoo.training.loop import _loss, _State
from kakuri.zoo.training.optimizers import Optimizers
from kakuri.zoo.training.sources import Batch

FULL = Recipe(
    "everything",
    epochs=4,
    augmentation=Augmentation(10.0, (0.9, 1.1), 1.0, 0.5),
    batch_size=64,
    learning_rate=5e-3,
    schedule="cosine",
    warmup_epochs=0.5,
    label_smoothing=0.1,
    ema_decay=0.9,
    range_penalty=0.1,
    range_limit=2.0,
    gradient_clip=1.0,
)


class StoppedError(Exception):
    """Raised from the observer, as a user's Ctrl-C would be."""


def interrupt_after(epoch: int):
    def observe(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise StoppedError

    return observe


def fresh(kind: str) -> torch.nn.Module:
    torch.manual_seed(5)
    return networks.mnist_teacher(2) if kind == "teacher" else networks.three_layer_cnn(kind)


@pytest.mark.parametrize(
    ("kind", "optimizer"), [("square", "adamw"), ("swish-rg7-deg4", "muon"), ("teacher", "adamw"), ("teacher", "muon")]
)
def test_a_resumed_run_ends_in_the_same_bits(
    kind: str, optimizer: Literal["adamw", "muon"], stripes: ImageDataset, tmp_path: Path
) -> None:
    """The teacher has dropout, which draws from torch's own generator; that must be restored too."""
    straight, recipe = fresh(kind), dataclasses.replace(FULL, optimizer=optimizer)
    expected = train(straight, stripes, recipe, seed=3, checkpoint=tmp_path / "straight")
    for stop in (1, 3):
        path = tmp_path / f"stopped-{stop}"
        with pytest.raises(StoppedError):
            train(fresh(kind), stripes, recipe, seed=3, checkpoint=path, observe=interrupt_after(stop))
        torch.rand(stop)
        resumed = fresh(kind)
        result = train(resumed, stripes, recipe, seed=3, checkpoint=path)
        assert [r.loss for r in result.history] == [r.loss for r in expected.history]
        for name, value in straight.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), name
        one, two = load_file(tmp_path / "straight"), load_file(path)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_an_interruption_between_checkpoints_goes_back_to_the_last(stripes: ImageDataset, tmp_path: Path) -> None:
    straight, resumed, path = fresh("square"), fresh("square"), tmp_path / "c"
    train(straight, stripes, FULL, seed=3)
    with pytest.raises(StoppedError):
        train(fresh("square"), stripes, FULL, seed=3, checkpoint=path, checkpoint_every=2, observe=interrupt_after(3))
    seen: list[int] = []
    train(resumed, stripes, FULL, seed=3, checkpoint=path, observe=lambda report: seen.append(report.epoch))
    assert seen == [3, 4]
    assert torch.equal(straight.fc.weight, resumed.fc.weight)


def test_seed_matters_and_the_callers_random_state_does_not(stripes: ImageDataset) -> None:
    modules = [fresh("teacher") for _ in range(3)]
    recipe = dataclasses.replace(FULL, epochs=1)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    train(modules[0], stripes, recipe, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(99)
    train(modules[1], stripes, recipe, seed=1)
    train(modules[2], stripes, recipe, seed=2)
    weights = [module.fc.weight for module in modules]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_it_learns(stripes: ImageDataset) -> None:
    module = fresh("square")
    result = train(
        module, stripes, dataclasses.replace(FULL, epochs=12), seed=1, validation=stripes, validation_every=5
    )
    measured = [report.epoch for report in result.history if report.validation_percent is not None]
    assert measured == [5, 10, 12]
    assert result.last.validation_percent == accuracy_percent(module, stripes.test_images, stripes.test_labels)
    assert result.last.validation_percent > 95


def test_a_checkpoint_of_another_run_is_refused(stripes: ImageDataset, tmp_path: Path) -> None:
    path, recipe = tmp_path / "c", dataclasses.replace(FULL, epochs=1)
    train(fresh("square"), stripes, recipe, seed=1, checkpoint=path)
    other_data = stripes.hold_out(10)
    cases = [
        ("seed", lambda: train(fresh("square"), stripes, recipe, seed=2, checkpoint=path)),
        ("recipe", lambda: train(fresh("square"), stripes, FULL, seed=1, checkpoint=path)),
        ("source", lambda: train(fresh("square"), other_data, recipe, seed=1, checkpoint=path)),
        ("start", lambda: train(fresh("swish-rg5-deg2"), stripes, recipe, seed=1, checkpoint=path)),
    ]
    for named, attempt in cases:
        with pytest.raises(KakuriError, match=named) as refused:
            attempt()
        assert refused.value.code == "KK-Z22"


def test_damaged_checkpoints_are_refused(stripes: ImageDataset, tmp_path: Path) -> None:
    path, recipe = tmp_path / "c", dataclasses.replace(FULL, epochs=1)
    train(fresh("square"), stripes, recipe, seed=1, checkpoint=path)
    whole = path.read_bytes()
    damaged = [b"", whole[:7], whole[: len(whole) // 2], whole[:-1], b"\xff" * 8 + whole[8:], b"{}" + whole]
    damaged.append(whole.replace(b'"averaged.fc.bias"', b'"averaged.fc.bios"'))
    damaged.append(whole.replace(b"kakuri-training-checkpoint-1", b"kakuri-training-checkpoint-9"))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(KakuriError) as refused:
            train(fresh("square"), stripes, recipe, seed=1, checkpoint=path)
        assert refused.value.code == "KK-Z21"


def test_an_unwritable_place_is_refused_and_nothing_stays(stripes: ImageDataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KakuriError) as refused:
        train(fresh("square"), stripes, dataclasses.replace(FULL, epochs=1), seed=1, checkpoint=tmp_path / "file" / "c")
    assert refused.value.code == "KK-F10"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_averaged_weights_are_the_recursion() -> None:
    """e <- e + (1 - d)(w - e) with d = min(decay, k / (k + 10)) after step k, computed apart in float64."""
    module = torch.nn.Linear(1, 1, bias=False)
    state = _State(module, Recipe("r", epochs=1, ema_decay=0.5, learning_rate=0.1), steps_per_epoch=30)
    expected = module.weight.item()
    for k in range(1, 31):
        state.update(module(torch.ones(1, 1)).sum())
        decay = min(0.5, k / (k + 10))
        expected = decay * expected + (1 - decay) * module.weight.item()
    assert state.averaged["weight"].item() == pytest.approx(expected, abs=1e-5)


def test_schedule() -> None:
    """Linear rise over one epoch of ten steps, then half a cosine to zero at the end of the fifth."""
    recipe = Recipe("r", epochs=5, schedule="cosine", warmup_epochs=1.0, learning_rate=2.0)
    state = _State(torch.nn.Linear(1, 1), recipe, steps_per_epoch=10)
    shares = []
    for state.step in range(50):
        shares.append(state.learning_share())
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == pytest.approx(1.0)
    assert shares[10] == pytest.approx(1.0)
    assert shares[30] == pytest.approx(0.5)
    assert shares[49] == pytest.approx((1 + math.cos(math.pi * 39 / 40)) / 2)
    state.recipe = Recipe("r", epochs=5, learning_rate=2.0)
    state.step = 49
    assert state.learning_share() == 1.0


def test_muon_moves_filters_by_near_orthogonal_matrices_and_the_rest_as_adamw_does() -> None:
    """delta = -(lr scale) O - lr decay W, all singular values of O near 1, Muon being approximate."""
    recipe = Recipe("r", epochs=1, optimizer="muon", muon_learning_rate=0.5, learning_rate=0.1)
    one, two = fresh("square"), fresh("square")
    optimizers = Optimizers(one, recipe), Optimizers(two, dataclasses.replace(recipe, optimizer="adamw"))
    before = one.conv2.weight.detach().clone()
    images = torch.rand(32, 1, 28, 28)
    for module, optimizer in zip((one, two), optimizers, strict=True):
        torch.nn.functional.cross_entropy(module(images), torch.arange(32) % 10).backward()
        optimizer.step(0.5)
        assert all(parameter.grad is None for parameter in module.parameters())
    moved = (before * (1 - 0.25 * 0.1) - one.conv2.weight.detach()).flatten(1) / 0.25
    values = torch.linalg.svdvals(moved / max(1.0, moved.shape[0] / moved.shape[1]) ** 0.5)
    assert values.min() > 0.5
    assert values.max() < 1.4
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]) == (name not in ("conv1.weight", "conv2.weight")), name


def test_distillation_loss_by_hand() -> None:
    """Two classes, T = 2: the student says (0, 0), the teacher (2 ln 3, 0), so 3/4 to 1/4; KL(t||s) by hand."""
    student, teacher = torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]])
    batch = Batch(torch.zeros(1, 1), torch.tensor([0]), teacher)
    kl = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    recipe = Recipe("r", epochs=1, distillation=0.9, temperature=2.0)
    assert _loss(student, batch, recipe).item() == pytest.approx(0.1 * math.log(2) + 0.9 * 4 * kl, rel=1e-5)
    assert _loss(student, batch, Recipe("r", epochs=1)).item() == pytest.approx(math.log(2), rel=1e-6)


def test_range_penalty_narrows_the_inputs(stripes: ImageDataset) -> None:
    plain = dataclasses.replace(FULL, epochs=6, range_penalty=0.0)
    bound = dataclasses.replace(plain, range_penalty=10.0, range_limit=0.5)
    largest = []
    for recipe in (plain, bound):
        module = fresh("square")
        train(module, stripes, recipe, seed=1)
        largest.append(max(largest_activation_inputs(module, stripes.train_images).values()))
    assert largest[1] < 0.7 * largest[0]


def test_largest_activation_inputs_by_hand(stripes: ImageDataset) -> None:
    module = fresh("swish-rg5-deg2").eval()
    with torch.no_grad():
        first = module.bn1(module.conv1(torch.from_numpy(stripes.test_images).float() / 255))
        second = module.bn2(module.conv2(module.act1(first)))
    found = largest_activation_inputs(module, stripes.test_images)
    assert found == {"act1": pytest.approx(float(first.abs().max())), "act2": pytest.approx(float(second.abs().max()))}
    assert not any(part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_clean_statistics_are_those_of_the_undistorted_images(stripes: ImageDataset, ema_decay: float) -> None:
    """With distortions that change the images' brightness; validation on the way changes nothing."""
    recipe = dataclasses.replace(FULL, augmentation=Augmentation(scale=(0.4, 0.5)), ema_decay=ema_decay, epochs=2)
    clean = dataclasses.replace(recipe, clean_statistics=True)
    modules = [fresh("square") for _ in range(3)]
    for module, chosen, validation in zip(modules, (recipe, clean, clean), (None, None, stripes), strict=True):
        train(module, stripes, chosen, seed=1, validation=validation)
    running, exact, again = (module.state_dict() for module in modules)
    for name in running:
        statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(running[name], exact[name]) != statistic
        assert torch.equal(exact[name], again[name])
    with torch.no_grad():
        features = modules[1].conv1(torch.from_numpy(stripes.train_images).float() / 255)
    torch.testing.assert_close(exact["bn1.running_mean"], features.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run(stripes: ImageDataset) -> None:
    module = fresh("square")
    with torch.no_grad():
        module.fc.bias[0] = float("nan")
    with pytest.raises(KakuriError) as refused:
        train(module, stripes, dataclasses.replace(FULL, gradient_clip=0.0), seed=1)
    assert refused.value.code == "KK-Z12"


def test_an_epoch_sees_every_image_once(stripes: ImageDataset) -> None:
    for source in (Source.of(stripes, Augmentation()), Stream.of(stripes, Augmentation(), [fresh("teacher")])):
        batches = list(source.epoch(torch.Generator().manual_seed(1), 50))
        assert [len(batch.labels) for batch in batches] == [50] * 6 + [20]
        seen = torch.cat([batch.images for batch in batches]).flatten(1)
        expected = torch.from_numpy(stripes.train_images).float().flatten(1) / 255
        order = torch.cdist(seen, expected).argmin(1)
        assert sorted(order.tolist()) == list(range(320))
        torch.testing.assert_close(seen, expected[order])
        assert torch.equal(
            torch.cat([batch.labels for batch in batches]), torch.from_numpy(stripes.train_labels)[order]
        )


def test_stream_brings_the_teachers_answer_to_each_image_as_drawn(stripes: ImageDataset, tmp_path: Path) -> None:
    teachers = [fresh("teacher"), networks.mnist_teacher(3)]
    stream = Stream.of(stripes, Augmentation(15.0), teachers, tmp_path)
    first = list(stream.epoch(torch.Generator().manual_seed(4), 50))
    for batch in first:
        with torch.no_grad():
            expected = sum(teacher.eval()(batch.images) for teacher in teachers) / 2
        torch.testing.assert_close(batch.teacher, expected, rtol=1e-4, atol=1e-5)
    (kept,) = tmp_path.iterdir()
    for teacher in teachers:
        teacher.forward = None  # the second epoch asks nobody
    again = list(stream.epoch(torch.Generator().manual_seed(4), 50))
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.teacher, two.teacher)
    kept.write_bytes(b"no answers")
    with pytest.raises(KakuriError) as refused:
        list(stream.epoch(torch.Generator().manual_seed(4), 50))
    assert refused.value.code == "KK-Z21"


def test_stream_distorts_anew_every_epoch_and_knows_its_teachers(stripes: ImageDataset, tmp_path: Path) -> None:
    stream = Stream.of(stripes, Augmentation(15.0), [fresh("teacher")], tmp_path)
    images = [next(stream.epoch(torch.Generator().manual_seed(seed), 320)).images for seed in (1, 2)]
    assert not torch.equal(*(image.sort(0).values for image in images))
    other = Stream.of(stripes, Augmentation(15.0), [networks.mnist_teacher(3)], tmp_path)
    list(stream.epoch(torch.Generator().manual_seed(1), 320))
    list(other.epoch(torch.Generator().manual_seed(1), 320))
    assert len(list(tmp_path.iterdir())) == 2


def test_each_image_comes_with_the_teachers_mean_answer(stripes: ImageDataset) -> None:
    """Each image is found again by its label and answer, and its answer is the one to the image without distortion."""
    teachers = [fresh("teacher"), networks.mnist_teacher(3)]
    source = Source.of(stripes, Augmentation(15.0), teachers)
    answers = [logits_of(teacher, stripes.train_images) for teacher in teachers]
    expected = (answers[0] + answers[1]) / 2
    torch.testing.assert_close(source.answers, expected)
    for batch in source.epoch(torch.Generator().manual_seed(1), 50):
        rows = torch.cdist(batch.teacher, expected).argmin(1)
        assert torch.equal(batch.teacher, source.answers[rows])
        assert torch.equal(batch.labels, source.labels[rows])


def test_distillation_follows_the_teacher_against_the_labels(stripes: ImageDataset) -> None:
    """With the loss all on the teacher, wrong labels do not matter."""
    answers = 8 * torch.nn.functional.one_hot(torch.from_numpy(stripes.train_labels), 10).float()
    wrong = torch.from_numpy((stripes.train_labels + 1) % 10)
    source = Source(torch.from_numpy(stripes.train_images), wrong, Augmentation(), answers)
    module = fresh("square")
    train(module, source, dataclasses.replace(FULL, epochs=12, distillation=1.0, temperature=2.0), seed=1)
    assert accuracy_percent(module, stripes.test_images, stripes.test_labels) > 95


def test_distillation_without_a_teacher_is_refused(stripes: ImageDataset) -> None:
    recipe = dataclasses.replace(FULL, distillation=0.5)
    for source in (stripes, Source.of(stripes, Augmentation())):
        with pytest.raises(KakuriError) as refused:
            train(fresh("square"), source, recipe, seed=1)
        assert refused.value.code == "KK-Z13"
    with pytest.raises(KakuriError) as refused:
        Stream.of(stripes, Augmentation(), [])
    assert refused.value.code == "KK-Z13"


def test_the_range_penalty_waits_for_its_share_of_the_epochs(stripes: ImageDataset) -> None:
    """The first two of four epochs are those of a run without penalty, the others are not."""
    plain = dataclasses.replace(FULL, range_penalty=0.0)
    late = dataclasses.replace(FULL, range_penalty=10.0, range_penalty_from=0.5, range_limit=0.1)
    without, with_penalty = (train(fresh("square"), stripes, recipe, seed=1).history for recipe in (plain, late))
    assert [one.loss == two.loss for one, two in zip(without, with_penalty, strict=True)] == [True, True, False, False]


def test_recipes() -> None:
    """Table 5.4 and the text of section 5.2."""
    mnist, cifar = RECIPES["document-mnist"], RECIPES["document-cifar10"]
    for recipe in (mnist, cifar):
        assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (200, 128, 1e-3, 1e-2)
        assert recipe.schedule == "constant"
    assert mnist.augmentation == Augmentation(rotation_degrees=15, scale=(0.8, 1.2))
    assert cifar.augmentation == Augmentation(crop_margin_pixels=4, flip=True)
    with pytest.raises(KakuriError) as refused:
        Recipe("bad", epochs=0, learning_rate=-1.0, temperature=0.0)
    assert [problem.where for problem in refused.value.problems] == [
        "bad.epochs",
        "bad.learning_rate",
        "bad.temperature",
    ]


def test_progress_is_drawn_on_the_given_console(stripes: ImageDataset, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(record=True, width=120, force_terminal=True, stderr=True)
    with progress_bar("square", console) as observe:
        train(
            fresh("square"), stripes, dataclasses.replace(FULL, epochs=2), seed=1, validation=stripes, observe=observe
        )
    drawn = console.export_text()
    assert "square" in drawn
    assert "2/2" in drawn
    assert "validation" in drawn
    assert capsys.readouterr().out == ""


def test_accuracy_by_hand() -> None:
    class Brightest(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.flatten(1)

    images = np.zeros((4, 1, 1, 3), dtype=np.uint8)
    for row, column in enumerate((2, 0, 1, 1)):
        images[row, 0, 0, column] = 9
    assert accuracy_percent(Brightest(), images, np.array([2, 0, 1, 0])) == 75.0
