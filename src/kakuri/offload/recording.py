"""What workers really held during a short training, beside the truth that it hides.

Purpose: material for ``kakuri.audit``: blinded weights before and after some steps, and blinded activations of
samples that came twice, exactly as they reached an untrusted place.
Guarantees: the blinded arrays are copies of the tensors in the messages; the truth comes from the master's side of
the same run. Keys do not rotate in between, which is the strongest case for an adversary.
Does not guarantee: to be everything that a longer training shows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from kakuri.errors import KakuriError
from kakuri.offload.build import session_of
from kakuri.offload.core import Core
from kakuri.offload.layers import OffloadedConv2d, OffloadedLinear, WorkerWeight, matrix_of
from kakuri.offload.places import Pool, nothing
from kakuri.offload.planning import plan
from kakuri.offload.tiers import AdditiveShares
from kakuri.offload.tiers import tier as tier_named
from kakuri.offload.transport.frames import Message, Op

Array = NDArray[Any]
Batch = tuple[Tensor, Tensor]
_SINGLE_SAMPLES, _FEWEST_SAMPLES, _GRADIENT_BYTES = 256, 20, 1 << 26


@dataclass(frozen=True)
class Recording:
    """Of one layer. weights, later_weights: W' (n, m) at the start and after the steps, as the worker held them;
    weight_row (n,): which row of W weighs most in each row of W'. plain_*: W.
    activations: blinded rows of the same batch sent twice; sample (rows,): which sample weighs most in each;
    plain_activations: those samples' own rows.
    gradients, plain_gradients (k, n m): of single samples, as the worker held them and as they are; inputs (k, n):
    those samples as the layer got them. Linear layers only; none (k = 0) for others and when 64 MiB do not hold them.
    member (k,): 1 where the sample was trained on. scores (b, classes): what the network says of the batch that was
    sent twice; none (0, classes) where a sample is several rows.
    """

    tier: str
    layer: str
    weights: Array
    later_weights: Array
    weight_row: Array
    plain_weights: Array
    plain_later_weights: Array
    activations: Array
    sample: Array
    plain_activations: Array
    gradients: Array
    plain_gradients: Array
    inputs: Array
    member: Array
    scores: Array


class _Listening:
    """An untrusted place that keeps every request."""

    trusted = False

    def __init__(self) -> None:
        self.name, self.quarantined = "recorded", False
        self.core = Core()
        self.requests: list[Message] = []

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    def ask(self, message: Message, meanwhile: Callable[[], None] = nothing) -> Message:
        meanwhile()
        kept = tuple(tensor.clone() for tensor in message.tensors)
        self.requests.append(Message(message.op, message.integers, message.floats, kept))
        return self.core.handle(message)

    def close(self) -> None:
        self.core = Core()


def record(
    module: nn.Module,
    batches: Sequence[Batch],
    layer: str,
    *,
    tier: str,
    lr: float = 0.1,
    epochs: int = 1,
    strangers: Sequence[Batch] = (),
) -> Recording:
    """Trains a copy of ``module`` one step per batch (inputs, labels) and epoch with cross entropy, then sends the
    first batch twice.

    layer: the name of a Linear or Conv2d that ``tier`` offloads. strangers: batches that are not trained on, to ask
    which of the single samples were. Raises KK-O04 for another layer.
    """
    place = _Listening()
    model = copy.deepcopy(module)
    if isinstance(tier_named(tier), AdditiveShares):
        hint = "one worker's shares are uniform and independent of everything; there is nothing to attack"
        raise KakuriError("KK-O02", "recordings are of tiers that blind", got=tier, limit="T1, T2", hint=hint)
    planned = plan(model, tier=tier, workers=Pool([place]), base="private", master="process")
    if layer not in planned.layers:
        raise KakuriError("KK-O04", "no such offloaded layer", where=layer, limit=", ".join(planned.layers))
    built, optimizer, _ = planned.build(torch.optim.SGD(model.parameters(), lr=lr))
    part = built.get_submodule(layer)
    assert isinstance(part, (OffloadedLinear, OffloadedConv2d))
    home = part.home
    assert isinstance(home, WorkerWeight)
    number, before = home.remote.number, home.plain_weight()
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(built(x), y))
            optimizer.step()
    rows: list[int] = []
    hook = part.register_forward_hook(lambda _, inputs, output: rows.append(output.numel() // home.weight_shape[0]))
    with torch.no_grad():
        built(batches[0][0])
        scores = built(batches[0][0]).softmax(-1)
    hook.remove()
    sent = [r.tensors[0] for r in place.requests if r.op is Op.FORWARD and r.integers[0] == number][-2:]
    loaded = next(r.tensors[0] for r in place.requests if r.op is Op.LOAD and r.integers[0] == number)
    held = place.core.handle(Message(Op.FETCH, (number, 1, 0, 0))).tensors[0]
    plain, first = home.remote.reveal(sent[0], rows[0], back=1)
    _, second = home.remote.reveal(sent[1], rows[1], back=0)
    after = home.plain_weight()
    gradients = _gradients(built, part, place, _singles(batches, strangers))
    session_of(built).close()
    sample = torch.cat([first, second])
    return Recording(
        tier=tier,
        layer=layer,
        weights=_array(loaded),
        later_weights=_array(held),
        weight_row=_array(home.remote.weight_origins()),
        plain_weights=_array(matrix_of(before)),
        plain_later_weights=_array(matrix_of(after)),
        activations=_array(torch.cat(sent)),
        sample=_array(sample),
        plain_activations=_array(plain[sample]),
        scores=_array(scores if rows[0] == len(scores) else scores[:0]),
        **{name: _array(stack) for name, stack in gradients.items()},
    )


def _singles(batches: Sequence[Batch], strangers: Sequence[Batch]) -> list[tuple[Batch, int]]:
    """Batches of one sample and whether it was trained on; members and strangers in turns as long as there are both."""
    members, others = (
        [((x[i : i + 1], y[i : i + 1]), kind) for x, y in part for i in range(len(x))]
        for kind, part in ((1, batches), (0, strangers))
    )
    both = min(len(members), len(others))
    turns = [one for pair in zip(members[:both], others[:both], strict=True) for one in pair]
    return turns + members[both:] + others[both:]


def _gradients(
    model: nn.Module,
    part: OffloadedLinear | OffloadedConv2d,
    place: _Listening,
    singles: Sequence[tuple[Batch, int]],
) -> dict[str, Tensor]:
    """``gradients``, ``plain_gradients``, ``inputs`` and ``member`` of a recording: a backward pass per sample."""
    home = part.home
    assert isinstance(home, WorkerWeight)
    m, n = home.weight_shape[0], home.weight_shape[1:].numel()
    dtype = singles[0][0][0].dtype
    found: dict[str, list[Tensor]] = {"gradients": [], "plain_gradients": [], "inputs": []}
    most = min(_SINGLE_SAMPLES, _GRADIENT_BYTES // (8 * n * m))
    asked = singles[:most] if isinstance(part, OffloadedLinear) and most >= _FEWEST_SAMPLES else ()
    inputs: list[Tensor] = []
    hook = part.register_forward_pre_hook(lambda _, got: inputs.append(got[0].detach()))
    model.eval()
    for (x, y), _ in asked:
        inputs.clear()
        home.handle.grad = None
        torch.autograd.backward(functional.cross_entropy(model(x), y))
        if inputs[0].numel() != n:  # several rows per sample: no gradient of a single input
            break
        held = place.core.handle(Message(Op.FETCH, (home.remote.number, 0, 0, 1))).tensors[0]
        found["gradients"].append(held.flatten())
        found["plain_gradients"].append(home.remote.gradient().flatten())
        found["inputs"].append(inputs[0].flatten())
    hook.remove()
    widths = {"gradients": n * m, "plain_gradients": n * m, "inputs": n}
    member = torch.tensor([kind for _, kind in asked[: len(found["inputs"])]], dtype=torch.int64)
    return {"member": member} | {
        name: torch.stack(rows) if rows else torch.zeros(0, widths[name], dtype=dtype) for name, rows in found.items()
    }


def _array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().numpy())
