"""Products of a worker whose weights are updated, right ones and wrong ones.

Purpose: what ``offload-integrity`` counts: real blinding, real updates and the looks that ride on them, forward and
backward products in turn, shapes in turn. What is wrong is wrong where a worker can make it so: in its blinded answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kakuri.offload.masks import MaskKey
from kakuri.offload.sgd import SgdStep, update
from kakuri.offload.tiers import Blinding, Left, Tier
from kakuri.offload.verify import Fingerprint, Seen, State, probes_for
from kakuri.trust import SystemEntropy

if TYPE_CHECKING:
    from kakuri._blinding import Look

SHAPES = ((16, 48, 32), (32, 160, 96), (8, 96, 20), (24, 20, 64))  # b, n, m
STEPS, CHECKS = 4, 20  # updates of a weight, and products between two of them
STEP = SgdStep(0.05, momentum=0.9, weight_decay=1e-3)


@dataclass
class Product:
    """Y' = X' W' of a worker, or with ``back`` dX' = dY' W'^T. x: the operand as it was sent. w: W' or its transpose;
    stale: that before its last update. other: makes the operand of another batch."""

    fingerprint: Fingerprint
    masks: Blinding
    left: Left
    back: bool
    seen: Seen
    x: Tensor
    w: Tensor
    stale: Tensor
    other: Callable[[], Tensor]

    def passes(self, answer: Tensor) -> bool:
        """Whether the master takes the answer."""
        fingerprint, left = self.fingerprint, self.left
        if self.back:
            look = fingerprint.ask_input_gradient(len(answer))
            dx = left.undo_dual(answer, self.masks.q, look)
            return fingerprint.input_gradient_is_right(self.seen, dx, look)
        look = fingerprint.ask_output(len(answer))
        y = left.undo(answer, self.masks.r, look)
        return fingerprint.output_is_right(self.seen, y, look)


def one_entry(p: Product) -> Tensor:
    """One output off by 1 % of rms."""
    y = p.x @ p.w
    y[torch.randint(len(y), ()), torch.randint(y.shape[1], ())] += 0.01 * y.square().mean().sqrt()
    return y


WRONG: Mapping[str, Callable[[Product], Tensor]] = {
    "one-entry": one_entry,
    "stale": lambda p: p.x @ p.stale,
    "zeros": lambda p: torch.zeros(len(p.x), p.w.shape[1]),
    "bfloat16": lambda p: (p.x.bfloat16() @ p.w.bfloat16()).float(),
    "replay": lambda p: p.other() @ p.w,
}


def products(tier: Tier, note: Callable[[bool], None]) -> Iterator[Product]:
    """Without end: fresh weights, masks and probes again and again. Every other update looks at X in a pass of its own,
    the others at the gradient that the worker sends. note: is told of each honest gradient and of each honest state
    whether it passes."""
    key, number = MaskKey(SystemEntropy()), 0
    while True:
        b, n, m = SHAPES[number % len(SHAPES)]
        number += 1
        masks = Blinding(tier.right(key.stream("Q", number), n), tier.right(key.stream("R", number), m))
        w, velocity = torch.randn(n, m) * n**-0.5, None
        fingerprint = Fingerprint(State(w), probes=probes_for(n, m, torch.float32, tier.mixes), mixes=tier.mixes)
        blinded_w = masks.weight(w)
        for step in range(STEPS):
            left = tier.left(key.stream("P", number, step, "update"), b)
            gradient, fits = _gradient(fingerprint, masks, left, (b, n, m), fetched=step % 2 == 0)
            note(fits)
            fingerprint.step(STEP)
            stale = blinded_w.clone()
            velocity = update(blinded_w, velocity, gradient, STEP)
            for check in range(CHECKS):
                left = tier.left(key.stream("P", number, step, check), b)
                back = check % 4 >= 2
                values = torch.randn(b, m if back else n)
                yield _product(fingerprint, masks, left, values, (blinded_w, stale), back=back)
        assert velocity is not None  # STEP has momentum
        note(
            fingerprint.state_is_right(State(masks.unweight(blinded_w), masks.unweight(velocity)), with_gradient=False)
        )


def _gradient(
    fingerprint: Fingerprint, masks: Blinding, left: Left, shape: tuple[int, int, int], *, fetched: bool
) -> tuple[Tensor, bool]:
    """A worker's gradient of a random batch, which the fingerprint follows, and whether it passes."""
    b, n, m = shape
    x, dy = torch.randn(b, n), 0.3 * torch.randn(b, m)
    blinded = left.apply(x, masks.q).T @ left.apply_dual(dy, masks.r)

    def see(values: Tensor, look: Look) -> None:
        left.apply(values, masks.q, None, look)

    def see_back(values: Tensor, look: Look) -> None:
        left.apply_dual(values, masks.r, None, look)

    look = fingerprint.ask(left.blinded_rows)
    see(x, look)
    seen = fingerprint.seen(x, look, see)
    look = fingerprint.ask(left.blinded_rows, back=True, other=seen)
    see_back(dy, look)
    seen_back = fingerprint.seen(dy, look, see_back, back=True, other=seen)
    crossed = fingerprint.crossed(None if fetched else x, dy, seen, seen_back, see_back=see_back, plain=left.plain)
    fingerprint.add_gradient(crossed, accumulate=False)
    return blinded, fingerprint.gradient_is_right(masks.unweight(blinded))


def _product(
    fingerprint: Fingerprint, masks: Blinding, left: Left, values: Tensor, held: tuple[Tensor, Tensor], *, back: bool
) -> Product:
    """held: W' and what it was before its last update."""
    apply, right = (left.apply_dual, masks.r) if back else (left.apply, masks.q)
    if torch.rand(()) < 0.5:
        values = values.relu()
    look = fingerprint.ask(left.blinded_rows, back=back)
    sent = apply(values, right, None, look)
    seen = fingerprint.seen(values, look, lambda x, again: apply(x, right, None, again), back=back)
    w, stale = (item.T if back else item for item in held)

    def other() -> Tensor:
        return apply(torch.randn_like(values), right)

    return Product(fingerprint, masks, left, back, seen, sent, w, stale, other)
