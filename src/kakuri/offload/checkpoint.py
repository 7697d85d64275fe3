"""Checkpoints of a training under protection: sealed, and enough to go on exactly.

Purpose: ``save_checkpoint`` between two steps; after a crash of the master, build the same plan again on a fresh
module and ``load_checkpoint``: the training goes on as if nothing had happened, up to rounding.
Guarantees: the file holds weights, velocities, optimizer and generator state sealed with the owner's key
(``kakuri.trust.sealed_file``); weights were checked when they were fetched; nothing is pickled. Masks are never
replayed: a resumed session draws a new mask key, so that no mask can meet other data than it met before the crash.
Does not guarantee: the position inside the data; keep it in ``extra``. Pending gradients are not kept.
Errors: KK-O39 the checkpoint is of another model or optimizer; KK-T10 and up from the sealed file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.offload.build import session_of
from kakuri.offload.layers import WorkerWeight
from kakuri.offload.optimizer import OffloadOptimizer
from kakuri.strict_json import Json
from kakuri.trust.sealed_file import seal, unseal

KIND = "offload-checkpoint"
_GENERATOR = "generator"


def save_checkpoint(
    path: Path | str,
    model: nn.Module,
    optimizer: OffloadOptimizer,
    key: bytes,
    *,
    extra: Mapping[str, object] | None = None,
) -> None:
    """key: 32 bytes of the owner's. extra: JSON of your own, for example epoch and batch; it is sealed too."""
    tensors = {f"model/{name}": value.detach().clone() for name, value in model.state_dict().items()}
    tensors |= {f"velocity/{name}": v for name, v in _velocities(model).items()}
    plain = optimizer.inner.state_dict()
    numbers: dict[str, Any] = {}
    for index, state in plain["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value.detach().clone()
            else:
                numbers[f"{index}/{name}"] = value
    tensors[_GENERATOR] = torch.get_rng_state()
    settings = [{k: v for k, v in group.items() if k != "params"} for group in plain["param_groups"]]
    document = strict_json.plain_object(
        {
            "groups": settings,
            "numbers": numbers,
            "optimizer": type(optimizer.inner).__name__,
            "extra": dict(extra or {}),
        }
    )
    metadata = {"kakuri": json.dumps(document)}
    seal(path, KIND, save({name: t.contiguous() for name, t in tensors.items()}, metadata), key)
    session_of(model).note("checkpoint", {"tensors": len(tensors)})


def load_checkpoint(path: Path | str, model: nn.Module, optimizer: OffloadOptimizer, key: bytes) -> dict[str, Json]:
    """Puts everything into a freshly built model and optimizer; returns ``extra``."""
    body, _ = unseal(path, KIND, key)
    tensors = load(body)
    header_bytes = int.from_bytes(body[:8], "little")
    document = json.loads(json.loads(body[8 : 8 + header_bytes])["__metadata__"]["kakuri"])
    wanted = {f"model/{name}" for name in model.state_dict()}
    found = {name for name in tensors if name.startswith("model/")}
    ours = type(optimizer.inner).__name__
    groups = len(optimizer.inner.param_groups)
    if wanted != found or document["optimizer"] != ours or len(document["groups"]) != groups:
        raise KakuriError(
            "KK-O39",
            "the checkpoint is of another model or optimizer",
            where=path,
            got=f"{document['optimizer']}, {len(found)} tensors, {len(document['groups'])} groups",
            limit=f"{ours}, {len(wanted)} tensors, {groups} groups",
        )
    model.load_state_dict({name.removeprefix("model/"): tensors[name] for name in found})
    for name, home in _homes(model).items():
        home.set_weight(tensors[f"model/{name}.weight"], tensors.get(f"velocity/{name}"))
    _load_optimizer(optimizer.inner, document, tensors)
    torch.set_rng_state(tensors[_GENERATOR])
    session_of(model).note("resumed", {"tensors": len(tensors)})
    extra: dict[str, Json] = document["extra"]
    return extra


def _load_optimizer(inner: torch.optim.Optimizer, document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, index, field = name.split("/", 2)
            state.setdefault(int(index), {})[field] = value
    for name, number in document["numbers"].items():
        index, field = name.split("/", 1)
        state.setdefault(int(index), {})[field] = number
    groups = inner.state_dict()["param_groups"]
    for group, settings in zip(groups, document["groups"], strict=True):
        group.update(settings)
    inner.load_state_dict({"state": state, "param_groups": groups})


def _homes(model: nn.Module) -> dict[str, WorkerWeight]:
    found = {name: getattr(part, "home", None) for name, part in model.named_modules()}
    return {name: home for name, home in found.items() if isinstance(home, WorkerWeight)}


def _velocities(model: nn.Module) -> dict[str, Tensor]:
    found = {name: home.plain_velocity() for name, home in _homes(model).items()}
    return {name: velocity for name, velocity in found.items() if velocity is not None}
