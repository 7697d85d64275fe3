"""From a plan to a training: workers start, weights leave, the user's objects come back.

Purpose: replace the planned layers in place and wrap optimizer and data.
Guarantees: when anything fails, started workers are ended; velocities that the optimizer already had go along.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kakuri.errors import KakuriError
from kakuri.offload.data import OffloadData
from kakuri.offload.layers import Home, MasterWeight, OffloadedConv2d, OffloadedLinear, WorkerWeight
from kakuri.offload.optimizer import OffloadOptimizer, runs_on_workers, take_velocity
from kakuri.offload.places import Pool
from kakuri.offload.session import Session
from kakuri.offload.tiers import AdditiveShares
from kakuri.trust.audit_log import AuditLog

if TYPE_CHECKING:
    from kakuri.offload.planning import OffloadPlan


def build(
    plan: OffloadPlan, optimizer: torch.optim.Optimizer, data: Iterable[Any] | None, log: AuditLog
) -> tuple[nn.Module, OffloadOptimizer, OffloadData]:
    """See ``OffloadPlan.build``."""
    shares = isinstance(plan.tier, AdditiveShares)
    automatic = plan.settings.key_shift and not shares and runs_on_workers(optimizer)
    on_workers = plan.update == "worker" or (plan.update == "auto" and automatic)
    if on_workers and not runs_on_workers(optimizer):
        raise KakuriError(
            "KK-O06",
            "workers can only do updates that are linear",
            got=type(optimizer).__name__,
            limit="torch.optim.SGD",
            hint="update='auto' lets the master update, with any optimizer",
        )
    workers, owns_pool = plan.workers, isinstance(plan.workers, str)
    pool = Pool.open(workers, threads=plan.threads, tls=plan.tls) if isinstance(workers, str) else workers
    session = Session(plan.settings, pool, owns_pool=owns_pool, log=log)
    try:
        homes: list[list[WorkerWeight]] = [[] for _ in optimizer.param_groups]
        for name in plan.layers:
            _replace(plan.module, name, session, optimizer, homes if on_workers else None)
    except BaseException:
        session.close("the build failed")
        raise
    return plan.module, OffloadOptimizer(optimizer, homes), OffloadData(session, data, plan.rotate_every)


def session_of(model: nn.Module) -> Session:
    """The session of a built model: ``counters``, ``log``, ``rotate``, ``close``. Raises KK-O05 for another module."""
    for part in model.modules():
        if isinstance(part, (OffloadedLinear, OffloadedConv2d)):
            return part.home.session
    raise KakuriError("KK-O05", "not a model that plan(...).build returned", got=type(model).__name__)


def _replace(
    module: nn.Module,
    name: str,
    session: Session,
    optimizer: torch.optim.Optimizer,
    homes: list[list[WorkerWeight]] | None,
) -> None:
    source = module.get_submodule(name)
    assert isinstance(source, (nn.Linear, nn.Conv2d))
    home: Home
    if homes is None:
        home = MasterWeight(session, name, source.weight)
    else:
        home = WorkerWeight(session, name, source.weight, take_velocity(optimizer, source.weight))
        for group, offloaded in zip(optimizer.param_groups, homes, strict=True):
            left = [parameter for parameter in group["params"] if parameter is not source.weight]
            if len(left) < len(group["params"]):
                group["params"] = left
                offloaded.append(home)
    made = OffloadedLinear(home, source.bias) if isinstance(source, nn.Linear) else OffloadedConv2d(home, source)
    made.train(source.training)
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, made)
