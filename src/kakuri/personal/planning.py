"""``plan``: which general data goes down, in which form, what it costs and what to expect.

Purpose: from a trained model and its data to a ``PersonalPlan``, which prints, and builds the package.
Guarantees: the package holds what the plan says, byte for byte of arrays; touches no key.
Does not guarantee: the simulated accuracy (see ``simulate``).
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.graph import static_shape
from kakuri.model.serialize import to_bytes
from kakuri.personal import forms, mosaic, signature
from kakuri.personal.dataset import GeneralData, Int64, UInt8
from kakuri.personal.features import Trunk, quantize
from kakuri.personal.handoff import Terms, tensors, write_handoff
from kakuri.personal.inputs.spec import InputSpec
from kakuri.personal.mirror import mirrored
from kakuri.personal.moments import MAX_FEATURES, moments_of, solve
from kakuri.personal.recipe import MAX_VIEWS, Recipe
from kakuri.personal.select import STRATEGIES, Candidates
from kakuri.personal.simulate import Simulation, Trial, simulate
from kakuri.personal.split import SplitModel, split, tapped
from kakuri.strict_json import Json
from kakuri.trust.entropy import SeededRandomness
from kakuri.trust.threats import PERSONALISATION
from kakuri.units import bytes_text, percent_text

_SIMULATED_EPOCHS = 40


@dataclass(frozen=True)
class PlanSettings:
    """form, strategy: see ``forms.FORMS`` and ``select.STRATEGIES``.

    feature_views: views of every chosen sample: stored in ``features`` (None: 1), made by the device from
    ``compressed`` (None: 4). layer: where the trunk ends (``split.layers`` names the places); None is before the last
    dense layer. cells: a map there is averaged to about so many places along each side. rank: most axes of the
    covariance in ``statistics``; a budget may leave fewer. quality: of ``compressed``, 1 to 100. mirror: with a
    ``layer``, features of a sample and of its mirror image are averaged, if the recipe says that mirroring changes
    nobody (``flip``). guard_views: views of every held-out sample, stored or, with ``compressed``, made by the device.
    guard_share: at most this share of the budget goes to the guard set; None is a half for ``statistics``, whose other
    half goes far, and a third else. simulated_classes: so many classes play the new person; 0 leaves the simulation
    out. seed: of every choice.
    """

    form: str = "features"
    strategy: str = "class-balanced"
    layer: str | None = None
    cells: int = 3
    rank: int = 128
    quality: int = 85
    mirror: bool = True
    feature_views: int | None = None
    guard_views: int = 4
    guard_share: float | None = None
    simulated_classes: int = 5
    target_false_personal: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        views = (self.guard_views, 1 if self.feature_views is None else self.feature_views)
        least = min(self.cells, self.rank, self.quality, *views)
        if least < 1 or self.quality > 100 or max(views) > MAX_VIEWS:
            limit = f"cells, rank from 1; quality 1..100; views 1..{MAX_VIEWS}"
            raise KakuriError("KK-P07", "settings out of bounds", got=asdict(self), limit=limit)

    @property
    def views(self) -> int:
        """Of every chosen sample."""
        return self.feature_views or (4 if self.form == "compressed" else 1)


@dataclass(frozen=True)
class PersonalPlan:
    """What will be handed down. general_bytes: of the trained samples with all their views, the document's measure."""

    terms: Terms
    split: SplitModel
    samples: dict[str, NDArray[Any]]
    guard: dict[str, NDArray[Any]]
    handed_bytes: int
    general_bytes: int
    bytes_per_class: dict[str, int]
    simulation: Simulation | None

    @property
    def share(self) -> float:
        """Handed-down data over all general data; the model itself is not data."""
        return self.handed_bytes / self.general_bytes

    def to_dict(self) -> dict[str, Json]:
        return {**self.terms.report, "threats": PERSONALISATION.to_dict()}

    def __str__(self) -> str:
        report, simulation, general = self.terms.report, self.simulation, self.general_bytes
        lines = [
            f"model        {self.terms.name}: {len(self.terms.classes)} classes, {self.terms.features} features",
            f"hand-off     {report['samples']} of {report['available']} samples as {report['form']}",
            f"chosen by    {report['strategy']}",
            f"data         {bytes_text(self.handed_bytes)}, {percent_text(self.share)} of {bytes_text(general)}",
            f"guard        {report['guard']} held-out features",
        ]
        if simulation is not None:
            lines.append(
                f"expected     general {percent_text(simulation.general_accuracy)}, "
                f"recall {percent_text(simulation.personal_recall)} (optimistic), "
                f"false-personal {percent_text(simulation.false_personal_rate)}, "
                f"by {simulation.classes_tried} simulated persons"
            )
        return "\n".join([*lines, "", str(PERSONALISATION)])

    def build(
        self,
        path: Path | str,
        publisher: signature.Publisher | None = None,
        *,
        recipient: bytes | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Writes the signed package; encrypted when ``recipient``, a device's address, is given.

        Without ``publisher`` the key ``publisher.kkey`` beside ``path`` signs, and is made when there is none;
        devices need the file ``publisher.pub`` that is written with it.
        """
        target = Path(path)
        if publisher is None:
            key = target.with_name("publisher.kkey")
            publisher = signature.Publisher.load(key) if key.exists() else signature.Publisher.create(key)
        entries = {
            "trunk.onnx": to_bytes(self.split.trunk),
            "head.safetensors": tensors({"weight": self.split.head.weight, "bias": self.split.head.bias}),
            "samples.safetensors": tensors(self.samples),
            "guard.safetensors": tensors(self.guard),
        }
        write_handoff(target, self.terms, entries, publisher, recipient=recipient, overwrite=overwrite)
        return target


def plan(
    net: ir.Model,
    data: GeneralData,
    *,
    budget_bytes: int | None = None,
    budget_percent: float | None = None,
    input: InputSpec | None = None,
    recipe: Recipe | None = None,
    settings: PlanSettings | None = None,
) -> PersonalPlan:
    """Chooses, encodes and simulates.

    budget_bytes, budget_percent: of handed-down data, the guard set included; percent counts all views of all trained
    samples as 100. Without a budget everything goes down. Raises KK-P01 to KK-P07.
    """
    settings, recipe = settings or PlanSettings(), recipe or Recipe()
    spec = input or InputSpec(shape=data.shape)  # type: ignore[arg-type]
    parts = split(net)
    _check(net, data, spec, parts, settings)
    trained, labels = data.part(held_out=False)
    if settings.layer is not None:
        end = tapped(net, settings.layer, settings.cells)
        end = mirrored(end) if settings.mirror and recipe.flip else end
        parts = _with_solved_head(end, settings.layer, trained, labels, spec)
    if settings.form == "statistics" and parts.features > MAX_FEATURES:
        hint = "another layer, or the form features"
        raise KakuriError(
            "KK-P07", "too many features for statistics", got=parts.features, limit=MAX_FEATURES, hint=hint
        )
    trunk = Trunk(to_bytes(parts.trunk), spec)
    general_bytes = trained.nbytes * recipe.views
    budget = _budget(budget_bytes, budget_percent, general_bytes)
    guard = _guard(data, recipe, trunk, settings, budget)
    guard_bytes = sum(array.nbytes for array in guard.values())
    features = trunk.features(trained)
    candidates = Candidates(features, labels, features @ parts.head.weight.T + parts.head.bias)
    room = None if budget is None else budget - guard_bytes
    axes = settings.form == "statistics"
    most = (_most_axes if axes else _most_samples)(settings, data, parts.features, recipe, room)
    if most < 1:
        raise _too_small(budget)
    count, rank = (len(labels), most) if axes else (min(most, len(labels)), 0)
    while True:
        random = SeededRandomness(settings.seed, "selection").generator()
        chosen = np.arange(count) if axes else STRATEGIES[settings.strategy](candidates, count, random)
        samples = forms.encode(
            settings.form,
            samples=trained[chosen],
            labels=labels[chosen],
            recipe=recipe,
            feature_views=settings.views,
            extract=trunk.features,
            seed=settings.seed,
            rank=rank,
            quality=settings.quality,
        )
        taken = sum(array.nbytes for array in samples.values())
        if room is None or taken <= room:
            break
        count = min(count - 1, count * room // taken)  # what a sheet takes is known when it is coded
        if settings.form != "compressed" or count < 1:
            raise _too_small(budget)
    handed = taken + guard_bytes
    simulation = None
    if settings.simulated_classes:
        given = (settings.form, forms.opened(samples, spec.shape), recipe, trunk.features, settings.seed)
        own = forms.training_features(*given) if settings.form == "compressed" else (features, labels)
        train = forms.training_moments(*given) if settings.form in forms.SOLVED else forms.training_features(*given)
        held = forms.guard_features(forms.opened(guard, spec.shape), recipe, trunk.features, settings.seed)
        trial = Trial(train, *held, *own, parts.head)
        simulation = simulate(
            trial,
            tries=settings.simulated_classes,
            epochs=_SIMULATED_EPOCHS,
            target=settings.target_false_personal,
            seed=settings.seed,
        )
    per_class = _bytes_per_class(samples, data.names)
    report: dict[str, Json] = {
        "form": settings.form,
        "strategy": settings.strategy,
        "layer": settings.layer,
        "mirror": settings.layer is not None and settings.mirror and recipe.flip,
        "rank": rank if settings.form == "statistics" else None,
        "views": settings.views,
        "samples": len(chosen),
        "available": len(labels),
        "guard": len(guard["labels"]) * int(guard["views"][0] if "views" in guard else 1),
        "handed_bytes": handed,
        "general_bytes": general_bytes,
        "share_of_bytes": handed / general_bytes,
        "bytes_per_class": dict(per_class),
        "simulation": None if simulation is None else dict(simulation.to_dict()),
    }
    name = net.graph.name or "model"
    terms = Terms(name, data.names, spec, recipe, settings.form, parts.features, settings.seed, report)
    return PersonalPlan(terms, parts, samples, guard, handed, general_bytes, per_class, simulation)


def _most_axes(settings: PlanSettings, data: GeneralData, features: int, recipe: Recipe, room: int | None) -> int:
    """The rank that ``room`` bytes leave to ``statistics``; an axis costs what a class does."""
    cost = forms.sample_bytes(settings.form, data.shape, features, recipe, settings.views)
    rank = min(settings.rank, features)
    if room is None:
        return rank
    classes = len(np.unique(data.part(held_out=False)[1]))
    return min(rank, 1 + (room - forms.fixed_bytes(settings.form, features) - cost * classes) // cost)


def _most_samples(settings: PlanSettings, data: GeneralData, features: int, recipe: Recipe, room: int | None) -> int:
    """So many samples ``room`` bytes may hold; of ``compressed``, whose size is known when it is coded, rather more."""
    cost = forms.sample_bytes(settings.form, data.shape, features, recipe, settings.views)
    capacity = mosaic.capacity(data.shape) if settings.form == "compressed" else sys.maxsize
    if room is None:
        return capacity
    return min(capacity, max(0, room - forms.fixed_bytes(settings.form, features)) // cost)


def _with_solved_head(end: ir.Model, layer: str, samples: UInt8, labels: Int64, spec: InputSpec) -> SplitModel:
    """The trunk ``end``, and a head for it in closed form from all that the server trained on."""
    width = static_shape(end.graph.outputs[0])[1]
    if width > MAX_FEATURES:
        hint = f"a layer with at most {MAX_FEATURES} features after averaging"
        raise KakuriError("KK-P07", "too many features", where=layer, got=width, limit=MAX_FEATURES, hint=hint)
    seen = moments_of(Trunk(to_bytes(end), spec).features(samples), labels)
    return SplitModel(end, solve(seen, int(labels.max()) + 1))


def _check(net: ir.Model, data: GeneralData, spec: InputSpec, parts: SplitModel, settings: PlanSettings) -> None:
    shape = static_shape(net.graph.inputs[0])[1:]
    if not shape == data.shape == tuple(spec.shape):
        raise KakuriError("KK-P07", "model, data and input shapes differ", got=f"{shape}, {data.shape}, {spec.shape}")
    if len(data.names) != len(parts.head.weight):
        what = "the data does not have one name for each of the model's classes"
        raise KakuriError("KK-P07", what, got=len(data.names), limit=len(parts.head.weight))
    if settings.strategy not in STRATEGIES:
        limit = ", ".join(STRATEGIES)
        raise KakuriError("KK-P07", "no such selection strategy", got=repr(settings.strategy), limit=limit)


def _budget(budget_bytes: int | None, budget_percent: float | None, general_bytes: int) -> int | None:
    if budget_bytes is not None and budget_percent is not None:
        raise KakuriError("KK-P07", "give the budget in bytes or in percent, not both")
    if budget_percent is not None:
        if not 0 <= budget_percent <= 100:
            raise KakuriError("KK-P07", "budget out of bounds", got=budget_percent, limit="0 ... 100 percent")
        return int(general_bytes * budget_percent / 100)
    return budget_bytes


def _too_small(budget: int | None) -> KakuriError:
    hint = "raise the budget or choose a smaller form"
    return KakuriError("KK-P07", "the budget does not hold the smallest hand-off", got=f"{budget} bytes", hint=hint)


def _guard(
    data: GeneralData, recipe: Recipe, trunk: Trunk, settings: PlanSettings, budget: int | None
) -> dict[str, NDArray[Any]]:
    """Held-out samples in the package's form: all of them once, then more views, within their share of the budget."""
    held, labels = data.part(held_out=True)
    if settings.form == "compressed":
        return _guard_sheet(held, labels, settings, budget)
    generator = SeededRandomness(settings.seed, "guard views").generator()
    views = np.stack([recipe.views_of(x, generator)[: settings.guard_views] for x in held], axis=1)
    samples, repeated = views.reshape(-1, *data.shape), np.tile(labels, len(views)).astype(np.int32)
    pictures = settings.form in forms.WITH_PICTURES
    if pictures:
        samples, repeated = samples[: len(held)], repeated[: len(held)]
    stored = None if pictures else quantize(trunk.features(samples))
    arrays: dict[str, NDArray[Any]] = {"samples": samples} if stored is None else {"values": stored.values}
    if budget is not None:
        each = next(iter(arrays.values()))[:1].nbytes + repeated[:1].nbytes
        fixed = 0 if stored is None else stored.scale.nbytes
        share = settings.guard_share or (1 / 2 if settings.form == "statistics" else 1 / 3)
        most = max(1, (int(budget * share) - fixed) // each)
        arrays, repeated = {name: array[:most] for name, array in arrays.items()}, repeated[:most]
    scale = {} if stored is None else {"scale": stored.scale}
    return {**arrays, **scale, "labels": repeated}


def _guard_sheet(held: UInt8, labels: Int64, settings: PlanSettings, budget: int | None) -> dict[str, NDArray[Any]]:
    """As many held-out samples, evenly out of all, as a sheet within their share of the budget holds."""
    count = min(len(held), mosaic.capacity(held.shape[1:]))
    while True:
        chosen = np.linspace(0, len(held) - 1, count).round().astype(np.int64)
        arrays = forms.compressed(held[chosen], labels[chosen], settings.guard_views, settings.quality)
        taken = sum(array.nbytes for array in arrays.values())
        if budget is None or count == 1 or taken <= budget * (settings.guard_share or 1 / 3):
            return arrays
        count = count * 7 // 8


def _bytes_per_class(samples: dict[str, NDArray[Any]], names: tuple[str, ...]) -> dict[str, int]:
    labels = samples["labels"]
    rows = sum(samples[name][:1].nbytes for name in ("samples", "values", "labels") if name in samples)
    sheet = samples["sheet"].size / len(labels) if "sheet" in samples else 0  # an equal part for every sample
    return {name: round(int((labels == index).sum()) * (rows + sheet)) for index, name in enumerate(names)}
