"""Who sees what of an offloaded training, per tier.

Purpose: the statement that ``plan`` and ``audit`` print.
Guarantees: nothing by itself; ``kakuri audit`` measures what workers really hold.
"""

from __future__ import annotations

from kakuri.offload.tiers import Scheme
from kakuri.trust import Exposure, ThreatStatement

_MASTER, _WORKER = "master", "offload worker"
_SEES = {
    "T1": (
        "inputs of offloaded layers, gradients and weights permuted in rows and columns, signs flipped, rows scaled",
        "so also: zeros, magnitudes of every weight, ratios within a row, norms of gradients",
    ),
    "T2": (
        "inputs of offloaded layers, gradients and weights mixed by secret orthogonal matrices, with shield rows",
        "so also: singular values, norms, and the Gram matrices of W up to rotation",
    ),
    "T3": ("one uniform share of each operand of each product, independent of data and weights",),
}
_NOT_GIVEN = {
    "T1": (
        "secrecy of a public base model's fine-tuning: whoever has the base matches all rows and columns at once",
        "unlinkability of samples: zeros of ReLU and ratios within a row link them",
    ),
    "T2": (
        "secrecy of updates to a public base model: Gram matrices of W align the masks; "
        "it is meant for weights that start at random in secret",
        "secrecy of samples trained one at a time: their gradients have rank one, and who knows about as many other "
        "samples as a layer has inputs reads the rest until keys rotate; use batches",
    ),
    "T3": ("anything at all when two of the four workers of a product collude",),
}
_TOGETHER = {
    "T1": "all workers may collude",
    "T2": "all workers may collude",
    "T3": "no two workers collude",
}
_HOW = {"T1": "blinded", "T2": "blinded", "T3": "shares of"}
_STEP = "learning rate, momentum, weight decay, and factors from clipping"


def statement(tier: Scheme) -> ThreatStatement:
    return ThreatStatement(
        room="offload",
        adversary=(
            "the cloud that runs the workers: it reads and keeps everything that reaches them, and may answer wrongly, "
            f"stop, or replay; {_TOGETHER[tier.name]}"
        ),
        sees=(
            *_SEES[tier.name],
            "sizes of layers and batches, the order of operations, times",
            *(() if tier.name == "T3" else (_STEP,)),
        ),
        does_not_see=("labels and the loss", "biases, normalisation and attention products", "keys and probes"),
        trusted_for=(
            ("master", "keys, plain data and weights in its memory; a plain process is for development only"),
            ("the operating system's entropy", "masks and probes"),
        ),
        not_guaranteed=(
            *_NOT_GIVEN[tier.name],
            "that the training ends: the cloud can always stop computing",
            *(() if tier.name == "T3" else ("errors of the size of rounding in a worker's answer are not detected",)),
            "a hidden access pattern: a host that watches the memory pages of the master may learn permutations",
        ),
        exposures=(
            Exposure("training data", _MASTER, "the data", True),
            Exposure("training data", _WORKER, f"{_HOW[tier.name]} activations ({tier.name})", tier.name == "T1"),
            Exposure("labels and loss", _MASTER, "labels and loss", True),
            Exposure("labels and loss", _WORKER, "nothing", False),
            Exposure("model weights", _MASTER, "the weights", True),
            Exposure("model weights", _WORKER, f"{_HOW[tier.name]} weights ({tier.name})", tier.name == "T1"),
            Exposure("mask keys and probes", _MASTER, "keys and probes", True),
            Exposure("mask keys and probes", _WORKER, "nothing", False),
        ),
    )
