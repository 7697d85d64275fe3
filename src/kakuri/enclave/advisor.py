"""The partition advisor: what each cut costs, and what it measurably leaks.

Purpose: ``advise(net, members, others)``: for every cut with the last layers inside, its cost, and three attacks on
exactly what the normal world then has, each between the same attack on the whole network and on its answers alone.
Guarantees: the attacks are those of ``kakuri.attacks``, run after their self-tests; a value stands with its interval. A
cut that hides the last layer alone is never called safe: whoever has all the others learns a new last one.
Does not guarantee: that stronger attacks find nothing; time inside is ONNX Runtime's on this machine, a stand-in for
the generated code on the device.
Source: S0, section 2 (private features show in the late layers); the attacks' sources stand in their files.
Errors: KK-W40 samples that do not fit, KK-W41 an attack that fails its self-test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.enclave.leaks import ATTACKS, BUDGET, LeakBench, Leaks, Samples
from kakuri.enclave.planning import bytes_of, plan
from kakuri.enclave.session import OuterNetwork
from kakuri.errors import KakuriError
from kakuri.model.layers import layers as layers_of
from kakuri.model.passes import Partition, partition
from kakuri.strict_json import Json
from kakuri.trust.entropy import SeededRandomness
from kakuri.units import bytes_text, percent_text

Progress = Callable[[str, float], None]
COUNTED = ("stealing", "membership")
"""What decides. Who runs the outer layers has the input anyway; reconstruction is for a bystander at the boundary."""
_TIMED_RUNS = 20


@dataclass(frozen=True)
class Cut:
    """One partition: its cost and what it leaks. share: the largest counted leak, 0 at black-box, 1 at white-box."""

    layers: str
    inside_seconds: float
    secure_bytes: int
    boundary_bytes: int
    weighted_layers: int
    leaks: Leaks
    share: float

    @property
    def remark(self) -> str:
        if self.weighted_layers == 0:
            return "hides no weight"
        return "hides the last layer alone: it is learnt again from answers" if self.weighted_layers == 1 else ""

    def to_dict(self) -> dict[str, Json]:
        return {
            "layers": self.layers,
            "inside_seconds": self.inside_seconds,
            "secure_bytes": self.secure_bytes,
            "boundary_bytes": self.boundary_bytes,
            "weighted_layers": self.weighted_layers,
            "share": self.share,
            "remark": self.remark,
            **self.leaks.to_dict(),
        }


@dataclass(frozen=True)
class Advice:
    """cuts: from everything inside to almost nothing. recommended: the cheapest within tolerance, or None."""

    cuts: tuple[Cut, ...]
    black_box: Leaks
    white_box: Leaks
    queries: int
    tolerance: float
    budget_bytes: int
    recommended: Cut | None

    def to_dict(self) -> dict[str, Json]:
        return {
            "queries": self.queries,
            "tolerance": self.tolerance,
            "budget_bytes": self.budget_bytes,
            "cuts": [cut.to_dict() for cut in self.cuts],
            "black_box": self.black_box.to_dict(),
            "white_box": self.white_box.to_dict(),
            "recommended": self.recommended.layers if self.recommended else None,
        }

    def __str__(self) -> str:
        head = (
            f"{'inside':12} {'memory':>10} {'time':>10} {'boundary':>10} {'fidelity':>9} {'accuracy':>9} {'member':>8} "
        )
        lines = [f"{head}{'picture':>8} {'share':>6}"]
        for cut in self.cuts:
            cost = f"{bytes_text(cut.secure_bytes):>10} {cut.inside_seconds * 1e6:>7.0f} us {cut.boundary_bytes:>10}"
            lines.append(f"{cut.layers:12} {cost} {_row(cut.leaks)} {cut.share:>6.0%}  {cut.remark}".rstrip())
        lines += [f"{leaks.view:45} {_row(leaks)}" for leaks in (self.black_box, self.white_box)]
        return "\n".join([*lines, "", self.verdict])

    @property
    def verdict(self) -> str:
        if self.recommended is None:
            return f"no cut that fits {bytes_text(self.budget_bytes)} leaks as little as the answers alone"
        return (
            f"layers {self.recommended.layers} inside is the cheapest cut that leaks as little as the answers alone, "
            f"to {percent_text(self.tolerance)} of the way to the whole network, by these attacks"
        )


def _row(leaks: Leaks) -> str:
    fidelity, member, picture = (leaks.values[name].value for name in ("stealing", "membership", "reconstruction"))
    return f"{fidelity:>9.1%} {leaks.stolen_accuracy:>9.1%} {member:>8.1%} {picture:>8.2f}"


def advise(
    net: ir.Model,
    members: Samples,
    others: Samples,
    *,
    queries: int = 200,
    tolerance: float = 0.1,
    secure_memory: int | str = "10 MiB",
    seed: int = 0,
    progress: Progress | None = None,
) -> Advice:
    """Measure every cut of a classifier with one input.

    members: samples that it was trained on; others: of the same kind, never seen; ``queries`` of the others are the
    thief's, the rest judges it. tolerance: how far towards white-box a leak may stand. Raises KK-W40, KK-W41.
    """
    report = progress or (lambda text, share: None)
    count = min(len(members.images), len(others.images))
    if count < 40 or not 20 <= queries <= len(others.images) // 2:
        limit = "at least 40 members and others, and twice as many others as queries"
        raise KakuriError("KK-W40", "too few samples", got=f"{count}, {queries} queries", limit=limit)
    randomness = SeededRandomness(seed, "partition advisor")
    bench = LeakBench(net, members, others, queries, randomness)
    for name, attack in ATTACKS.items():
        report(f"self-test of {attack.name}", 0.0)
        if not attack.self_test(BUDGET, randomness.child(name).generator()).passed:
            raise KakuriError("KK-W41", "an attack fails its self-test: it can prove nothing", got=attack.name)
    cuts = _cuts(net)
    black = bench.answers_alone()
    white = bench.whole_network(next(cut for cut in reversed(cuts) if _weighted(cut)))
    budget_bytes = bytes_of(secure_memory)
    measured = []
    for index, cut in enumerate(cuts):
        report(f"layers {cut.first}:{cut.last}", 0.1 + 0.9 * index / len(cuts))
        measured.append(_measured(net, cut, bench, black, white))
    return Advice(
        tuple(measured), black, white, queries, tolerance, budget_bytes, recommend(measured, tolerance, budget_bytes)
    )


def recommend(cuts: Sequence[Cut], tolerance: float, budget_bytes: int) -> Cut | None:
    """The one of least memory that fits and keeps to the tolerance; never one that hides the last layer alone."""
    fitting = [cut for cut in cuts if cut.share <= tolerance and cut.secure_bytes <= budget_bytes]
    fitting = [cut for cut in fitting if cut.weighted_layers > 1]
    return min(fitting, key=lambda cut: (cut.secure_bytes, cut.inside_seconds), default=None)


def _cuts(net: ir.Model) -> list[Partition]:
    """Every cut with the last layers inside, without those that cut at the same values."""
    found: list[Partition] = []
    for layer in layers_of(net):
        if not layer.nodes:
            continue
        cut = partition(net, f"{layer.index}:")
        names = [value.name for value in cut.entering]
        if not found or names != [value.name for value in found[-1].entering]:
            found.append(cut)
    return found


def _weighted(cut: Partition) -> int:
    """Inner layers that hold weights."""
    return sum(
        any(value is not None and value.const_value is not None and value.const_value.size > 1 for value in node.inputs)
        and node.op_type in {"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM"}
        for node in cut.inside.graph
    )


def _measured(net: ir.Model, cut: Partition, bench: LeakBench, black: Leaks, white: Leaks) -> Cut:
    facts = plan(net, layers=f"{cut.first}:{cut.last}", secure_memory=1 << 40).facts
    inside, values = OuterNetwork(cut.inside), {bench.input: bench.others[:1]}
    if cut.before is not None:
        values |= OuterNetwork(cut.before).run(values)
    leaks = bench.exposed(cut)
    boundary_bytes = sum(int(np.prod(item.shape)) * np.dtype(item.dtype).itemsize for item in facts.entering)
    return Cut(
        facts.layers,
        min(_seconds(inside, values) for _ in range(_TIMED_RUNS)),
        facts.secure_bytes,
        boundary_bytes,
        _weighted(cut),
        leaks,
        max(_share(name, leaks, black, white) for name in COUNTED),
    )


def _share(name: str, leaks: Leaks, black: Leaks, white: Leaks) -> float:
    """How far from black-box to white-box; 0 where the whole network tells no more than its answers do."""
    low, high = black.values[name], white.values[name]
    if high.low <= low.high:
        return 0.0
    return float(np.clip((leaks.values[name].value - low.value) / (high.value - low.value), 0.0, 1.0))


def _seconds(part: OuterNetwork, values: dict[str, NDArray[Any]]) -> float:
    begin = time.perf_counter()
    part.run(values)
    return time.perf_counter() - begin
