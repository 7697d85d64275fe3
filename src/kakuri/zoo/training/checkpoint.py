"""Training checkpoints: one safetensors file.

Purpose: everything a run needs to go on: weights, running statistics, averaged weights, optimiser state, history.
Guarantees: a crash leaves the old file or the new one, never a part; no pickle; a file of another run (recipe, seed,
data or network) is refused, as are damaged bytes.
Does not guarantee: secrecy; a checkpoint is the model in the clear.
The random state needs no bytes: every epoch starts its generators from the seed and the epoch's number.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kakuri.errors import KakuriError
from kakuri.files import atomic_write

_FORMAT = "kakuri-training-checkpoint-1"


@dataclass(frozen=True)
class Checkpoint:
    """identity: what must agree for a resume, as plain JSON values; history: one plain record per finished epoch."""

    identity: dict[str, Any]
    history: list[dict[str, Any]]
    tensors: dict[str, Tensor]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically. Raises KK-F10 when the folder cannot be written."""
    record = {"format": _FORMAT, "identity": checkpoint.identity, "history": checkpoint.history}
    content = save(
        {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()},
        metadata={"kakuri": json.dumps(record)},
    )
    with atomic_write(path) as file:
        file.write(content)


def load_checkpoint(path: Path, identity: dict[str, Any]) -> Checkpoint:
    """Read ``path`` for the run ``identity``. Raises KK-Z21 for damaged bytes, KK-Z22 for a file of another run."""
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})["kakuri"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if record["format"] != _FORMAT:
            raise ValueError(record["format"])
        found, history = dict(record["identity"]), list(record["history"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        hint = "delete the file to train from the start"
        raise KakuriError("KK-Z21", "not a readable training checkpoint", where=path, got=error, hint=hint) from error
    wanted = json.loads(json.dumps(identity))
    different = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if different:
        raise KakuriError(
            "KK-Z22",
            f"the checkpoint belongs to another run: {', '.join(different)} differ",
            where=path,
            got={key: found.get(key) for key in different},
            limit={key: wanted.get(key) for key in different},
            hint="give another checkpoint path, or delete the file",
        )
    return Checkpoint(found, history, tensors)
