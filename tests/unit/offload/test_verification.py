"""Wrong answers are caught, right ones are not, and training goes on with the same result."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kakuri import offload
from kakuri.errors import KakuriError
from kakuri.offload.places import Place, WorkerProcess
from kakuri.offload.sgd import SgdStep, update
from kakuri.offload.transport.frames import Message, Op
from kakuri.offload.verify import Fingerprint, State, pass_over

from .networks import Convolutional, InProcess, batches, largest_difference, pool, train

SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}


def product(b: int = 64, n: int = 96, m: int = 80) -> tuple[Tensor, Tensor, Tensor]:
    x, w = torch.randn(b, n), torch.randn(n, m) * n**-0.5
    return x, w, x @ w


def one_entry(y: Tensor) -> Tensor:
    y = y.clone()
    y[torch.randint(len(y), ()), torch.randint(y.shape[1], ())] += 0.01 * y.square().mean().sqrt()
    return y


WRONG: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "one entry off by 1 % of rms": lambda x, w, y: one_entry(y),
    "zeros": lambda x, w, y: torch.zeros_like(y),
    "lower precision": lambda x, w, y: (x.bfloat16() @ w.bfloat16()).float(),
    "weights of ten bits": lambda x, w, y: x @ w.half().float(),
    "rows exchanged": lambda x, w, y: y.flip(0),
    "stale weights": lambda x, w, y: x @ (w + 1e-4 * torch.randn_like(w)),
    "not a number": lambda x, w, y: torch.full_like(y, torch.nan),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("mixes", [False, True])
def test_wrong_products_are_caught_in_both_directions(kind: str, mixes: bool) -> None:
    caught = 0
    for _ in range(50):
        x, w, y = product()
        fingerprint = Fingerprint(State(w), probes=2, mixes=mixes)
        wrong = WRONG[kind](x, w, y)
        assert fingerprint.output_is_right(fingerprint.look(x), y)
        caught += not fingerprint.output_is_right(fingerprint.look(x), wrong)
        turned = Fingerprint(State(w.T.contiguous()), probes=2, mixes=mixes)
        assert turned.input_gradient_is_right(turned.look_back(x), y)
        caught += not turned.input_gradient_is_right(turned.look_back(x), wrong)
    assert caught == 100


@pytest.mark.parametrize("fetched", [False, True])
def test_the_fingerprint_follows_many_updates(fetched: bool) -> None:
    """Against weights updated in single precision; a step too many, too few or with another rate is seen."""
    x, w, _ = product(32, 24, 40)
    velocity: Tensor | None = None
    fingerprint = Fingerprint(State(w), probes=2, mixes=False)
    step = SgdStep(0.05, momentum=0.9, weight_decay=1e-2, nesterov=True)
    for _ in range(300):
        x, dy = torch.randn(32, 24), 0.1 * torch.randn(32, 40)
        gradient = x.T @ dy
        seen = fingerprint.look(x)
        back = fingerprint.look_back(dy, seen)
        given = None if fetched else x
        crossed = fingerprint.crossed(
            given, dy, seen, back, see_back=pass_over, plain=lambda sums, squares: (sums, squares)
        )
        fingerprint.add_gradient(crossed, accumulate=False)
        assert fingerprint.wants_gradient == fetched
        assert not fingerprint.gradient_is_right(gradient * (1 + 1e-4))
        assert fingerprint.gradient_is_right(gradient)
        assert not fingerprint.wants_gradient
        fingerprint.step(step)
        before = w.clone()
        velocity = update(w, velocity, gradient, step)
        assert fingerprint.output_is_right(fingerprint.look(x), x @ w)
    assert velocity is not None
    state = State(w, velocity, gradient)
    assert fingerprint.state_is_right(state)
    for wrong in (
        replace(state, w=before),
        replace(state, v=velocity * 1.0001),
        replace(state, g=gradient + 1e-4),
        replace(state, v=None),
        replace(state, g=None),
    ):
        assert not fingerprint.state_is_right(wrong)


def test_data_of_any_scale_raises_no_alarm() -> None:
    for scale in (1e-12, 1e-3, 1e6):
        for x in (torch.rand(40, 300), torch.randn(40, 300).relu(), torch.eye(40, 300), torch.zeros(40, 300)):
            for mixes in (False, True):
                w = scale * torch.rand(300, 20)
                fingerprint = Fingerprint(State(w), probes=2, mixes=mixes)
                assert fingerprint.output_is_right(fingerprint.look(scale * x), (scale * x) @ w)


def test_divergence_is_not_blamed_on_a_worker() -> None:
    fingerprint = Fingerprint(State(torch.randn(3, 3)), probes=2, mixes=False)
    bad = torch.tensor([[1.0, torch.inf, 0.0]])
    with pytest.raises(KakuriError, match="KK-O32"):
        fingerprint.output_is_right(fingerprint.look(bad), bad)


def scaled(op: Op, factor: float, after: int) -> Callable[[Message, Message], Message]:
    """Answers of ``op`` times ``factor`` from the ``after``-th on."""
    seen = [0]

    def change(request: Message, answer: Message) -> Message:
        if request.op is not op:
            return answer
        seen[0] += 1
        return replace(answer, tensors=tuple(t * factor for t in answer.tensors)) if seen[0] > after else answer

    return change


def silent(op: Op, after: int) -> Callable[[Message, Message], Message]:
    seen = [0]

    def change(request: Message, answer: Message) -> Message:
        if request.op is op:
            seen[0] += 1
            if seen[0] > after:
                return Message(Op.REFUSED, (4,))
        return answer

    return change


@pytest.mark.parametrize("tier", ["T1", "T2"])
@pytest.mark.parametrize("journal_bytes", [0, 20_000, 1 << 30])
@pytest.mark.parametrize("op", [Op.FORWARD, Op.BACKWARD])
def test_training_survives_a_lying_worker(tier: str, journal_bytes: int, op: Op) -> None:
    plain = Convolutional()
    ours = copy.deepcopy(plain)
    data = batches(6)
    liar, honest = InProcess("liar", scaled(op, 1.001, after=7)), InProcess("honest")
    plan = offload.plan(
        ours, tier=tier, base="private", master="process", workers=pool(liar, honest), journal_bytes=journal_bytes
    )
    model, optimizer, offloaded = plan.build(torch.optim.SGD(ours.parameters(), **SGD), data)
    expected = train(plain, torch.optim.SGD(plain.parameters(), **SGD), data, epochs=2)
    assert train(model, optimizer, offloaded, epochs=2) == pytest.approx(expected, rel=1e-5)
    assert largest_difference(model, plain) < 2e-5
    session = offload.session_of(model)
    assert session.counters.incidents == 1
    assert liar.quarantined
    assert not honest.quarantined
    incident = next(entry for entry in session.log.entries if entry.event == "incident")
    assert incident.details["worker"] == "liar"
    count = len(liar.asked)
    train(model, optimizer, data)
    assert len(liar.asked) == count  # it is asked no longer


def test_a_worker_that_does_not_update_is_caught_and_the_update_is_made_good() -> None:
    plain = Convolutional()
    ours = copy.deepcopy(plain)
    place = InProcess("lazy")
    kept: dict[int, Tensor] = {}
    steps = [0]

    def change(request: Message, answer: Message) -> Message:
        number = request.integers[0]
        if request.op is Op.BACKWARD:
            kept[number] = place.core._layers[number].weight.clone()
        elif request.op is Op.STEP:
            steps[0] += 1
            if steps[0] > 9:
                place.core._layers[number].weight.copy_(kept[number])
        return answer

    place.change = change
    plan = offload.plan(ours, master="process", workers=pool(place))
    model, optimizer, _ = plan.build(torch.optim.SGD(ours.parameters(), **SGD))
    data = batches(8)
    train(plain, torch.optim.SGD(plain.parameters(), **SGD), data)
    train(model, optimizer, data)
    assert largest_difference(model, plain) < 2e-5
    assert place.quarantined  # the only worker: the master went on alone
    assert offload.session_of(model).log.entries[-1].details["to"] == "master"


@pytest.mark.parametrize("tier", ["T1", "T2"])
@pytest.mark.parametrize("journal_bytes", [0, 1 << 30])
def test_a_wrong_gradient_is_caught_before_the_step(tier: str, journal_bytes: int) -> None:
    """The worker updates with the right one and shows another: a step it cannot be held to."""
    plain = Convolutional()
    ours = copy.deepcopy(plain)
    liar = InProcess("liar", scaled(Op.STEP, 1.001, after=4))
    plan = offload.plan(
        ours, tier=tier, base="private", master="process", workers=pool(liar), journal_bytes=journal_bytes
    )
    model, optimizer, _ = plan.build(torch.optim.SGD(ours.parameters(), **SGD))
    data = batches(6, size=64)
    if not journal_bytes:
        with pytest.raises(KakuriError, match="KK-O35"):
            train(model, optimizer, data)
        return
    train(plain, torch.optim.SGD(plain.parameters(), **SGD), data)
    train(model, optimizer, data)
    assert largest_difference(model, plain) < 2e-5
    assert liar.quarantined
    assert offload.session_of(model).counters.incidents == 1


def test_lost_weights_without_a_journal_end_the_training() -> None:
    ours = Convolutional()
    place = InProcess("amnesiac", silent(Op.FORWARD, after=9))
    plan = offload.plan(ours, master="process", workers=pool(place), journal_bytes=0)
    model, optimizer, _ = plan.build(torch.optim.SGD(ours.parameters(), **SGD))
    honest = place.change

    def forgetful(request: Message, answer: Message) -> Message:
        assert honest is not None
        changed = honest(request, answer)
        if changed.op is Op.REFUSED:
            place.core._layers.clear()
        return changed

    place.change = forgetful
    with pytest.raises(KakuriError, match="KK-O35"):
        train(model, optimizer, batches(5))
    with pytest.raises(KakuriError, match="KK-O33"):
        model(batches(1)[0][0])


def test_too_many_incidents_stop_everything() -> None:
    ours = Convolutional()
    liars: list[Place] = [InProcess(f"liar {i}", scaled(Op.FORWARD, 2.0, after=0)) for i in range(4)]
    plan = offload.plan(ours, master="process", workers=pool(*liars), fail_limit=2)
    model, optimizer, _ = plan.build(torch.optim.SGD(ours.parameters(), **SGD))
    session = offload.session_of(model)
    with pytest.raises(KakuriError, match="KK-O34"):
        train(model, optimizer, batches(1))
    assert session.log.entries[-1].event == "closed"
    with pytest.raises(KakuriError, match="KK-O30"):
        session.stream("Q")


def test_a_killed_process_changes_nothing() -> None:
    plain = Convolutional()
    ours = copy.deepcopy(plain)
    data = batches(4)
    victim = WorkerProcess("victim")
    with offload.Pool([victim]) as places:
        plan = offload.plan(ours, master="process", workers=places)
        model, optimizer, _ = plan.build(torch.optim.SGD(ours.parameters(), **SGD))
        train(model, optimizer, data[:2])
        victim.process.kill()
        victim.process.wait()
        train(model, optimizer, data[2:])
        train(plain, torch.optim.SGD(plain.parameters(), **SGD), data)
        assert largest_difference(model, plain) < 2e-5
        assert offload.session_of(model).counters.incidents == 1
