"""What to record of an offloaded training, and what stands beside it.

Purpose: recordings as subjects of an audit: weights, their update, and activations, as an untrusted worker held them.
Guarantees: the bytes are those of ``kakuri.offload.recording``; the base model is the adversary's, given by the caller.
Does not guarantee: that one layer speaks for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks import Target
from kakuri.attacks.gram_alignment import pairs
from kakuri.attacks.matrices import as_rows
from kakuri.attacks.membership_inference import bending
from kakuri.attacks.unblinding import directions
from kakuri.audit.report import Subject
from kakuri.offload.recording import Recording
from kakuri.offload.threats import statement
from kakuri.offload.tiers import tier

ATTACKS = (
    "base_model_matching",
    "gram_alignment",
    "row_linking",
    "known_plaintext",
    "activation_inversion",
    "gradient_inversion",
    "surrogate_stealing",
    "membership_inference",
)
"""What applies to the subjects made here."""


def offloaded(recording: Recording, base: NDArray[Any]) -> tuple[Subject, ...]:
    """base (n, m): the weights that the adversary holds: the plain ones the training started from when they are public,
    others of the same shape when they are private."""
    name = f"offload worker, {recording.tier}, {recording.layer}"
    shared = {"base": np.ascontiguousarray(base, "<f4").tobytes()}
    update = recording.plain_later_weights.astype(np.float64) - recording.plain_weights
    targets = (
        Target(
            f"{name}, weights",
            {"weights": as_rows(recording.weights)},
            {"base_row": recording.weight_row},
            shared=shared,
            plain={"weights": as_rows(recording.plain_weights[recording.weight_row])},
        ),
        Target(
            f"{name}, update",
            {"weights": pairs(recording.weights, recording.later_weights)},
            {"update": update},
            shared=shared,
            plain={"weights": pairs(recording.plain_weights, recording.plain_later_weights)},
        ),
        Target(
            f"{name}, activations",
            {"activations": as_rows(recording.activations)},
            {"group": recording.sample, "direction": directions(recording.plain_activations.astype(np.float64))},
            shared={**shared, "blinded_base": np.ascontiguousarray(recording.weights, "<f4").tobytes()},
            plain={"activations": as_rows(recording.plain_activations)},
        ),
        *_queries(recording, name),
        *_single_samples(recording, name),
        *_membership(recording, name),
    )
    threat = statement(tier(recording.tier))
    return tuple(Subject(target, threat) for target in targets)


def _queries(recording: Recording, name: str) -> tuple[Target, ...]:
    """What the rows of queries show of the network's answers; the adversary knows half of these."""
    if not len(recording.scores):
        return ()
    scores = recording.scores[recording.sample].astype(np.float64)
    rows = recording.activations.astype(np.float64)
    return (
        Target(
            f"{name}, queries",
            {},
            {"answered": scores.argmax(axis=1), "scores": scores, "group": recording.sample},
            numbers={"rows": np.concatenate([directions(rows), np.linalg.norm(rows, axis=1, keepdims=True)], axis=1)},
        ),
    )


def _membership(recording: Recording, name: str) -> tuple[Target, ...]:
    """What the sizes of single samples' gradients show, where there are samples of both kinds."""
    if len(set(recording.member.tolist())) < 2:
        return ()
    seen = {"gradients": bending(recording.gradients.astype(np.float64))}
    truth = {"member": recording.member, "white_box": bending(recording.plain_gradients.astype(np.float64))}
    return (Target(f"{name}, membership", {}, truth, numbers=seen),)


def _single_samples(recording: Recording, name: str) -> tuple[Target, ...]:
    """What gradients of single samples show, where there are any."""
    if not len(recording.inputs):
        return ()
    target = Target(
        f"{name}, gradients of single samples",
        {"gradients": as_rows(recording.gradients)},
        {"direction": directions(recording.inputs.astype(np.float64))},
        public={"columns": str(recording.weights.shape[1])},
        plain={"gradients": as_rows(recording.plain_gradients)},
    )
    return (target,)
