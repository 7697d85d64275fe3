"""Planning: what is offloaded, what stays, and what that means, before anything leaves the master.

Purpose: ``plan(module, tier=, workers=)``, then ``build(optimizer, data)``, then train as ever.
Guarantees: planning starts no process and touches no key; every problem with the request is reported at once.
Does not guarantee: secrecy beyond the tier's threat statement, which is part of the plan and of its text.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from kakuri.errors import KakuriError, KakuriWarning, Problem
from kakuri.offload.build import build
from kakuri.offload.data import OffloadData
from kakuri.offload.descriptions import described
from kakuri.offload.optimizer import OffloadOptimizer
from kakuri.offload.places import Pool
from kakuri.offload.select import select
from kakuri.offload.session import Settings
from kakuri.offload.threats import statement
from kakuri.offload.tiers import AdditiveShares, Scheme
from kakuri.offload.tiers import tier as tier_named
from kakuri.offload.tiers.additive_shares import WORKERS
from kakuri.offload.transport.identity import TlsCredentials
from kakuri.trust import ThreatStatement
from kakuri.trust.audit_log import AuditLog
from kakuri.units import bytes_text

Base = Literal["private", "public"]
Update = Literal["auto", "worker", "master"]


@dataclass(frozen=True)
class OffloadPlan:
    """Immutable; ``print`` it, compare ``to_dict()``, then ``build``.

    layers: names of the layers that workers compute. kept: name -> why a layer's products stay in the master.
    """

    module: nn.Module = field(repr=False)
    tier: Scheme
    workers: str | Pool
    threads: int
    layers: tuple[str, ...]
    kept: dict[str, str]
    update: Update
    rotate_every: int
    base: Base | None
    settings: Settings = field(repr=False)
    tls: TlsCredentials | None = field(default=None, repr=False)

    @property
    def threat(self) -> ThreatStatement:
        return statement(self.tier)

    @property
    def weights(self) -> dict[str, tuple[int, int]]:
        """Layer name -> (inputs n, outputs m) of its matrix."""
        found = {}
        for name in self.layers:
            weight = self.module.get_submodule(name).weight
            assert isinstance(weight, torch.Tensor)
            found[name] = (weight[0].numel(), len(weight))
        return found

    def to_dict(self) -> dict[str, Any]:
        elements = sum(n * m for n, m in self.weights.values())
        return {
            "tier": self.tier.name,
            "workers": self.workers if isinstance(self.workers, str) else len(self.workers.places),
            "layers": {name: list(shape) for name, shape in self.weights.items()},
            "kept": dict(self.kept),
            "offloaded_weights": elements,
            "other_parameters": sum(p.numel() for p in self.module.parameters()) - elements,
            "update": self.update,
            "rotate_every_epochs": self.rotate_every,
            "base": self.base,
            "journal_bytes": self.settings.journal_bytes,
            "clipping": self.settings.clipping,
            "key_shift": self.settings.key_shift,
            "who_sees_what": self.threat.to_dict(),
        }

    def __str__(self) -> str:
        d = self.to_dict()
        shapes = ", ".join(f"{name} {n}x{m}" for name, (n, m) in self.weights.items())
        rows = [
            ("tier", f"{self.tier.name}: {self.tier.summary}"),
            ("workers", str(d["workers"])),
            ("offloaded", f"{len(self.layers)} layers, {d['offloaded_weights']} weights: {shapes}"),
            ("in the master", f"{d['other_parameters']} parameters, everything that is not a product"),
            *(("", f"{name}: {why}") for name, why in self.kept.items()),
            *self._upkeep(),
            ("master", "a plain process: NOT a trusted execution environment, for development only"),
        ]
        return "\n".join(f"{name:14} {value}" for name, value in rows) + "\n" + str(self.threat)

    def _upkeep(self) -> list[tuple[str, str]]:
        """Rows of the text about what happens between products."""
        if isinstance(self.tier, AdditiveShares):
            return [("updates", "in the master"), ("key rotation", "none to rotate: every product is shared afresh")]
        return [
            ("updates", f"{self.update} (auto: on workers for SGD, in the master for any other optimizer)"),
            ("key rotation", f"every {self.rotate_every} epoch(s)" if self.rotate_every else "only when asked for"),
            ("journal", f"up to {bytes_text(self.settings.journal_bytes)} in the master's memory"),
        ]

    def build(
        self, optimizer: torch.optim.Optimizer, data: Iterable[Any] | None = None, *, log: AuditLog | None = None
    ) -> tuple[nn.Module, OffloadOptimizer, OffloadData]:
        """Starts the workers and moves the weights out. The module is changed in place and returned.

        data: what the training loop iterates over; each new iteration is an epoch, at which keys rotate.
        log: where events go; in memory without one.
        Raises KK-O06 when weights cannot be updated as planned.
        """
        return build(self, optimizer, data, AuditLog() if log is None else log)


def plan(
    module: nn.Module,
    *,
    tier: str = "T1",
    workers: str | Pool = "local",
    tls: TlsCredentials | None = None,
    threads: int = 1,
    base: Base | None = None,
    accept_public_base: bool = False,
    keep: Sequence[str] = (),
    update: Update = "auto",
    rotate_every: int = 1,
    journal_bytes: int = 1 << 30,
    fail_limit: int = 8,
    clipping: bool = False,
    key_shift: bool = True,
    master: Literal["process"] | None = None,
) -> OffloadPlan:
    """Plan to train ``module`` with its products on untrusted workers.

    tier: T1, T2 or T3. workers: ``local`` or ``local:K`` (processes of this machine, one CUDA device each where there
    are any), ``tls://HOST:PORT,tls://...`` (other machines), or a running ``Pool``. tls: for other machines, this
    master's identity and the workers' pinned certificates. threads: of each local worker. base: where the weights come
    from, ``private`` (random, nobody else has them) or ``public``; T2 must know. accept_public_base: use T2 although
    it does not hide updates to a public base. keep: names of layers that stay in the master. update: where weights are
    updated. rotate_every: epochs between new keys, 0 for never. journal_bytes: memory for exact recovery, 0 for none.
    fail_limit: incidents before the training stops. clipping: fetch and check gradients, so that ``clip_grad_norm_``
    works. key_shift: False blinds every product afresh, to measure what key shift saves. master: ``process`` says that
    you know that the master is a plain process; without it a warning does.

    Raises KK-O02 and up, all problems at once.
    """
    chosen = tier_named(tier)
    found = select(module)
    kept = {item.node: item.what for item in found.problems if item.node}
    names = [name for name in found.layers if name not in keep]
    kept |= {name: "as you asked" for name in found.layers if name in keep}
    if chosen.mixes and len(names) > 2:
        for name, place in ((names[0], "first"), (names[-1], "last")):
            kept[name] = f"the {place} layer, which {chosen.name} keeps in the master"
        names = names[1:-1]
    unknown = [name for name in keep if name not in found.layers]
    problems = [
        Problem("KK-O04", "no such layer to keep", where=name, limit=", ".join(found.layers)) for name in unknown
    ]
    if not names:
        problems.append(Problem("KK-O17", "nothing is left to offload", hint="kk.check(module, 'offload') says why"))
    problems += _tier_problems(chosen, base, accept_public_base)
    problems += _worker_problems(chosen, workers)
    if threads < 1 or fail_limit < 0 or journal_bytes < 0 or rotate_every < 0:
        problems.append(Problem("KK-O04", "numbers must not be negative, threads at least 1"))
    if update not in ("auto", "worker", "master"):
        problems.append(Problem("KK-O04", "no such place for updates", got=repr(update), limit="auto, worker, master"))
    if update == "worker" and (not key_shift or isinstance(chosen, AdditiveShares)):
        problems.append(Problem("KK-O04", "without key shift the master updates", hint="leave update at 'auto'"))
    if problems:
        raise KakuriError.collect(problems)
    if master is None:
        warnings.warn(
            "the master is a plain process, not a trusted execution environment: for development only "
            "(master='process' says that you know)",
            KakuriWarning,
            stacklevel=2,
        )
    settings = Settings(chosen, journal_bytes, fail_limit, clipping, key_shift)
    return OffloadPlan(module, chosen, workers, threads, tuple(names), kept, update, rotate_every, base, settings, tls)


def _worker_problems(tier: Scheme, workers: str | Pool) -> list[Problem]:
    try:
        count = described(workers).count if isinstance(workers, str) else len(workers.places)
    except KakuriError as error:
        return list(error.problems)
    if isinstance(tier, AdditiveShares) and count < WORKERS:
        hint = "workers='tls://A:1,tls://B:1,tls://C:1,tls://D:1', of four owners"
        what = f"{tier.name} needs {WORKERS} workers that do not collude"
        return [Problem("KK-O03", what, got=str(count), limit=str(WORKERS), hint=hint)]
    return []


def _tier_problems(tier: Scheme, base: Base | None, accepted: bool) -> list[Problem]:
    if not tier.mixes:
        if base in (None, "private", "public"):
            return []
        return [Problem("KK-O04", "weights come from no such place", got=repr(base), limit="private, public")]
    if base not in ("private", "public"):
        hint = "base='private' for weights that start at random in secret, base='public' for anything published"
        return [Problem("KK-O07", f"{tier.name} must know where the weights come from", got=repr(base), hint=hint)]
    if base == "public" and not accepted:
        return [
            Problem(
                "KK-O08",
                f"{tier.name} does not hide updates to a public base model: its Gram matrices give the masks away",
                hint="start from random weights, or say accept_public_base=True",
            )
        ]
    return []
