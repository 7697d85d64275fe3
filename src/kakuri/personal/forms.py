"""The forms in which general data goes down, and what each costs in bytes.

Purpose: ``encode`` turns chosen samples into arrays for the package; ``training_features`` turns them back there.
Guarantees: what a form does not carry cannot be got from the package: ``features`` and ``statistics`` hold no picture.
Does not guarantee: that a picture cannot be guessed from features; general data is the server's to give, and features
are smaller, not secret.

| form | what travels | bytes a sample | methods |
| --- | --- | --- | --- |
| augmented | every view of every chosen sample, uint8 | views * C*H*W | all |
| originals | the chosen samples, uint8; the device makes the views | C*H*W | all |
| compressed | the chosen samples in one lossy picture (``mosaic``); the device makes the views | as coded | all |
| features | int8 features of every chosen sample's views at the trunk's end | feature_views * d | head, analytic |
| statistics | mean of every class's features, their shared covariance (``moments``) | d a class | analytic |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.personal import moments, mosaic
from kakuri.personal.dataset import Int64, UInt8
from kakuri.personal.features import Float32, StoredFeatures, dequantize, quantize
from kakuri.personal.recipe import Recipe
from kakuri.trust.entropy import SeededRandomness

FORMS = ("augmented", "originals", "compressed", "features", "statistics")
WITH_PICTURES = ("augmented", "originals", "compressed")
#: What a head in closed form is the recommended way for.
SOLVED = ("compressed", "statistics")
Arrays = dict[str, NDArray[Any]]
Extract = Callable[[UInt8], Float32]


def guard_form(form: str) -> str:
    """The form in which held-out samples go down beside ``form``."""
    return form if form == "compressed" else "originals" if form in WITH_PICTURES else "features"


def sample_bytes(form: str, shape: tuple[int, ...], features: int, recipe: Recipe, feature_views: int) -> int:
    """What one chosen sample costs, its label included; for ``statistics``, one class; for ``compressed``, at least."""
    pixels, label = int(np.prod(shape)), 4
    costs = {
        "augmented": recipe.views * (pixels + label),
        "originals": pixels + label,
        "compressed": label,  # and a part of the sheet
        "features": feature_views * (features + label),
        "statistics": features + label,
    }
    if form not in costs:
        raise KakuriError("KK-P06", "no such form", got=repr(form), limit=", ".join(FORMS))
    return costs[form]


def fixed_bytes(form: str, features: int) -> int:
    """What a form costs before the first sample: the scales of int8 features, and the first axis of a covariance."""
    return {"features": 4 * features, "statistics": moments.packed_bytes(features, 0, 1)}.get(form, 0)


def encode(
    form: str,
    *,
    samples: UInt8,
    labels: Int64,
    recipe: Recipe,
    feature_views: int,
    extract: Extract,
    seed: int,
    rank: int,
    quality: int,
) -> Arrays:
    """Arrays for the package. rank: of ``statistics``, which are taken over all views of the samples.

    quality: of ``compressed``, whose ``feature_views`` the device makes.
    """
    generator = SeededRandomness(seed, "hand-off views").generator()
    if form == "originals":
        return {"samples": samples, "labels": labels.astype(np.int32)}
    if form == "compressed":
        return compressed(samples, labels, feature_views, quality)
    if form == "augmented":
        return {
            "samples": recipe.expand(samples, generator),
            "labels": np.repeat(labels, recipe.views).astype(np.int32),
        }
    if form == "statistics":
        features = extract(recipe.expand(samples, generator))
        return moments.pack(moments.moments_of(features, np.repeat(labels, recipe.views)), rank)
    views = np.concatenate([recipe.views_of(x, generator)[:feature_views] for x in samples])
    stored = quantize(extract(views))
    repeated = np.repeat(labels, feature_views).astype(np.int32)
    return {"values": stored.values, "scale": stored.scale, "labels": repeated}


def compressed(samples: UInt8, labels: Int64, views: int, quality: int) -> Arrays:
    """Samples as one sheet, of each of which the device is to make ``views`` views."""
    sheet = mosaic.pack(samples, quality)
    return {"sheet": sheet, "labels": labels.astype(np.int32), "views": np.array([views], np.int32)}


def opened(arrays: Mapping[str, NDArray[Any]], shape: tuple[int, int, int]) -> Arrays:
    """With samples in place of a sheet, where there is one. Raises KK-P13."""
    made = dict(arrays)
    if "sheet" in made:
        made["samples"] = mosaic.unpack(made.pop("sheet"), len(made["labels"]), shape)
    return made


def feature_recipe(arrays: Mapping[str, NDArray[Any]], recipe: Recipe) -> Recipe:
    """``recipe`` with as many views as features are taken of."""
    return replace(recipe, views=int(arrays["views"][0])) if "views" in arrays else recipe


def guard_features(
    arrays: Mapping[str, NDArray[Any]], recipe: Recipe, extract: Extract, seed: int
) -> tuple[Float32, Int64]:
    """(n, d) features and (n,) labels of the guard set."""
    labels = arrays["labels"].astype(np.int64)
    if "views" in arrays:
        recipe = feature_recipe(arrays, recipe)
        views = recipe.expand(arrays["samples"], SeededRandomness(seed, "guard views").generator())
        return extract(views), labels.repeat(recipe.views)
    if "samples" in arrays:
        return extract(arrays["samples"]), labels
    return dequantize(StoredFeatures(arrays["values"], arrays["scale"])), labels


def training_samples(form: str, arrays: Mapping[str, NDArray[Any]], recipe: Recipe, seed: int) -> tuple[UInt8, Int64]:
    """Pictures and labels to train on, of a form that has pictures."""
    labels = arrays["labels"].astype(np.int64)
    if form == "augmented":
        return arrays["samples"], labels
    generator = SeededRandomness(seed, "device views").generator()
    empty: UInt8 = arrays["samples"].repeat(recipe.views, axis=0)
    made = recipe.expand(arrays["samples"], generator) if len(labels) else empty
    return made, np.repeat(labels, recipe.views)


def training_features(
    form: str, arrays: Mapping[str, NDArray[Any]], recipe: Recipe, extract: Extract, seed: int
) -> tuple[Float32, Int64]:
    """(n, d) features and (n,) labels to train a head on. Raises KK-P36 for ``statistics``, which hold no sample."""
    if form == "features":
        stored = StoredFeatures(arrays["values"], arrays["scale"])
        return dequantize(stored), arrays["labels"].astype(np.int64)
    if form in WITH_PICTURES:
        samples, repeated = training_samples(form, arrays, feature_recipe(arrays, recipe), seed)
        return extract(samples), repeated
    raise KakuriError("KK-P36", "this method needs general samples", got=form, limit=", ".join(FORMS[:-1]))


def training_moments(
    form: str, arrays: Mapping[str, NDArray[Any]], recipe: Recipe, extract: Extract, seed: int
) -> moments.Moments:
    """Means and shared covariance of the general classes, whatever the form."""
    if form == "statistics":
        return moments.unpack(arrays)
    return moments.moments_of(*training_features(form, arrays, recipe, extract, seed))
