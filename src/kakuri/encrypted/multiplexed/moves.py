"""Every way to do one stage, priced: the moves of the layout search.

Purpose: for a stage and the layouts of its inputs, candidates (name, steps, price).
Guarantees: each move computes the stage exactly; names are unique per stage and stable, since packages store them.
Does not guarantee: levels; limbs are a guess from the activations that are still to come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from kakuri.encrypted.multiplexed.cover import Cover, cover
from kakuri.encrypted.multiplexed.layout import Layout
from kakuri.encrypted.multiplexed.linear import Linear, identity, im2col, window
from kakuri.encrypted.multiplexed.patterns import (
    MAX_HOMES,
    Pattern,
    Target,
    folded,
    inherit,
    phases,
    plain,
    power_of_two,
    taps,
    targets,
)
from kakuri.encrypted.multiplexed.prices import Prices
from kakuri.encrypted.multiplexed.problem import MAX_OPTIONS, pose
from kakuri.encrypted.multiplexed.split import split
from kakuri.encrypted.multiplexed.stages import Graph, Shape, Stage
from kakuri.encrypted.multiplexed.steps import (
    Activation,
    Addition,
    Fold,
    Gather,
    Placed,
    PoolFold,
    Step,
    Transform,
)
from kakuri.encrypted.network import Convolution, Dense, Polynomial, Pool, Sum

LIMBS_PER_SQUARING = 1.6
HOPELESS = 3  # times the diagonals of the best cover of a layer


@dataclass(frozen=True)
class Move:
    name: str
    steps: tuple[Step, ...]
    price: float
    query_ciphertexts: int = 0


@dataclass
class Moves:
    """slots, prices: of the ring. Results of covers are kept, since many states share them."""

    graph: Graph
    slots: int
    prices: Prices
    _only: str | None = None
    _fewest: dict[str, int] = field(default_factory=dict)
    _covers: dict[tuple[str, bytes, bytes, tuple[int, ...]], Cover | None] = field(default_factory=dict)

    def limbs(self, stage: Stage) -> int:
        return 1 + round(LIMBS_PER_SQUARING * self.graph.depth_below[stage.name])

    def of(self, stage: Stage, placed: Mapping[str, Placed], only: str | None = None) -> Iterator[Move]:
        """placed: where the values that exist stand. only: the name of the one move that is wanted."""
        self._only = only
        yield from (move for move in self._of(stage, placed) if only is None or move.name == only)

    def _of(self, stage: Stage, placed: Mapping[str, Placed]) -> Iterator[Move]:
        sources = self.graph.sources[stage.name]
        if isinstance(stage, Polynomial):
            yield Move(
                "", (Activation(stage, sources[0], stage.output, placed[sources[0]]),), self._activation(stage, placed)
            )
        elif isinstance(stage, Sum):
            yield from self._sum(stage, sources, placed)
        elif sources[0] not in placed:
            yield from self._first(stage, sources[0])
        elif isinstance(stage, Pool):
            yield from self._pool(stage, sources[0], placed)
        else:
            yield from self._linear(stage, sources[0], placed)

    # -- linear layers -----------------------------------------------------------------------------------------------

    def _linear(self, stage: Convolution | Dense | Pool, source: str, placed: Mapping[str, Placed]) -> Iterator[Move]:
        linear = self.graph.linears[stage.name]
        for target in self._targets(stage, placed[source].pattern, placed):
            move = self._transform(stage, source, placed[source].layout, linear, target)
            if move is not None:
                yield move

    def _transform(
        self, stage: Stage, source: str, layout: Layout, linear: Linear, target: Target, *, name: str | None = None
    ) -> Move | None:
        name = target.name if name is None else name
        if self._only is not None and not self._only.endswith(name):
            return None
        found = self._cover(stage.name, linear, layout, target)
        if found is None:
            return None
        limbs = self.limbs(stage)
        outputs, inputs, shifts = found.split_keys()
        strides = sorted({target.pattern.stride, target.pattern.row, *_distances(layout)})
        steps = split(
            outputs,
            inputs,
            shifts,
            self.slots,
            strides=strides,
            prices=(self.prices.baby(limbs), self.prices.giant(limbs)),
        )
        fold = Fold(target.homes)
        step = Transform(
            stage.name, source, stage.output, linear, found, steps, fold, Placed(target.layout, target.pattern)
        )
        price = (
            len(np.unique(inputs[steps.baby != 0])) * self.prices.mod_up(limbs)
            + steps.babies * self.prices.baby(limbs)
            + steps.giants * self.prices.giant(limbs)
            + len(shifts) * self.prices.diagonal(limbs)
            + target.product.ciphertexts * self.prices.mod_down(limbs)
            + target.product.ciphertexts * fold.rotations * self.prices.rotation(limbs)
        )
        return Move(name, (step,), price)

    def _cover(self, name: str, linear: Linear, layout: Layout, target: Target) -> Cover | None:
        """None when the layouts do not go together or cannot come near the best found for this layer."""
        key = (name, layout.key, target.product.key, target.homes)
        if key not in self._covers:
            special = target.pattern.name in ("phases", "taps")
            limit = 32 * (len(linear.taps) + 1) if special else MAX_OPTIONS
            cyclic = target.cyclic if len(target.homes) > MAX_HOMES else 0
            posed = pose(linear, layout, target.product, target.homes, cyclic=cyclic, max_classes=limit)
            most = HOPELESS * self._fewest.get(name, MAX_OPTIONS)
            found = None if posed is None or posed.lower_bound > most else cover(posed, most)
            if found is not None:
                self._fewest[name] = min(self._fewest.get(name, len(found.keys)), len(found.keys))
            self._covers[key] = found
        return self._covers[key]

    def _targets(self, stage: Stage, before: Pattern | None, placed: Mapping[str, Placed]) -> Iterator[Target]:
        """Layouts worth trying for the result, by what reads it."""
        shape = self.graph.shapes[stage.output]
        wanted = self._partner(stage, placed)
        if wanted is not None:
            yield Target("partner", wanted.layout, wanted.layout, wanted.pattern or plain(shape.grid, self.slots))
            return
        if shape.grid == (1, 1):
            least = power_of_two(shape.channels)
            for stride in (least, 2 * least, 4 * least, 16 * least):
                if stride <= self.slots:
                    yield folded(shape.channels, self.slots, stride)
            return
        pool, linear = self._ahead(stage.output)
        for pattern in self._patterns(stage, shape, before, pool, linear):
            feeds = linear is not None and linear.grid != (1, 1)
            yield from targets(pattern, shape.channels, self.slots, copies=feeds, partial=True)

    def _patterns(
        self, stage: Stage, shape: Shape, before: Pattern | None, pool: Pool | None, linear: Linear | None
    ) -> Iterator[Pattern]:
        found: list[Pattern | None] = []
        if before is not None and not isinstance(stage, Dense):
            strides = (1, 1) if not isinstance(stage, Convolution | Pool) else stage.strides
            found.append(inherit(before, shape.grid, strides, self.slots))
        if before is None or found[-1:] == [None]:
            found.append(plain(shape.grid, self.slots))
        if pool is not None:
            found.append(phases(shape.grid, pool, self.slots))
        elif linear is not None and linear.grid != (1, 1) and self._is_small(shape, linear):
            found.append(taps(shape.grid, linear.taps, self.slots))
        yield from (pattern for pattern in found if pattern is not None and pattern.count > 0)

    def _is_small(self, shape: Shape, linear: Linear) -> bool:
        return shape.channels * linear.taps.size <= self.slots

    def _ahead(self, value: str) -> tuple[Pool | None, Linear | None]:
        """The pool and the linear layer that come next, looking through an activation."""
        stage = self.graph.following(value)
        if isinstance(stage, Polynomial):
            stage = self.graph.following(stage.output)
        if isinstance(stage, Pool):
            return stage, None
        return None, None if stage is None or isinstance(stage, Sum | Polynomial) else self.graph.linears[stage.name]

    def _partner(self, stage: Stage, placed: Mapping[str, Placed]) -> Placed | None:
        """The other branch of an addition that reads this result, when it stands somewhere already."""
        reader = self.graph.following(stage.output)
        if not isinstance(reader, Sum):
            return None
        others = [placed[name] for name in self.graph.sources[reader.name] if name in placed]
        return others[0] if others else None

    # -- the first layer ---------------------------------------------------------------------------------------------

    def _first(self, stage: Stage, source: str) -> Iterator[Move]:
        """The client may send any layout, so a convolution's taps can travel apart."""
        shape, limbs = self.graph.shapes[source], self.limbs(stage)
        if isinstance(stage, Convolution) and self.graph.following(source) is stage:
            linear = im2col(self.graph.linears[stage.name])
            for target in self._targets(stage, None, {}):
                virtual = linear.weight.shape[1]
                layouts = {
                    str(n): _taps_together(target, virtual, n, self.slots) for n in _divisors(target.pattern.count)
                }
                if target.product.ciphertexts == 1 and len(target.homes) > 1:
                    layouts["r"] = _tap_per_home(target, virtual, self.slots)
                for label, layout in layouts.items():
                    name = f"{target.name}|{label}"
                    move = self._transform(stage, source, layout, linear, target, name=name)
                    if move is not None:
                        gather = Gather(source, Placed(layout, None), self.graph.linears[stage.name])
                        price = move.price + layout.ciphertexts * self.prices.fresh(limbs)
                        yield Move(name, (gather, *move.steps), price, layout.ciphertexts)
            return
        for target in targets(plain(shape.grid, self.slots), shape.channels, self.slots, copies=True, partial=False):
            gather = Gather(source, Placed(target.layout, target.pattern), None)
            price = target.layout.ciphertexts * self.prices.fresh(limbs)
            for move in self._of(stage, {source: gather.placed}):
                name = f"{target.name}|{move.name}"
                yield Move(name, (gather, *move.steps), move.price + price, target.layout.ciphertexts)

    # -- pools, activations, sums ------------------------------------------------------------------------------------

    def _pool(self, stage: Pool, source: str, placed: Mapping[str, Placed]) -> Iterator[Move]:
        folded_pool = self._fold_pool(stage, source, placed[source])
        if folded_pool is None:
            yield from self._linear(stage, source, placed)
            return
        limbs = self.limbs(stage)
        rotations = sum(fold.rotations for fold in folded_pool.folds) * folded_pool.kept.ciphertexts
        price = rotations * self.prices.rotation(limbs)
        yield Move("fold", (folded_pool,), price)
        spread = self._spread(stage, folded_pool, placed[source])
        if spread is not None:
            extra = sum(fold.rotations for fold in spread.spread) * self.prices.rotation(limbs)
            extra += self.prices.diagonal(limbs) + self.prices.rescale(limbs)
            yield Move("spread", (spread,), price + extra * spread.kept.ciphertexts)

    def _fold_pool(self, stage: Pool, source: str, placed: Placed) -> PoolFold | None:
        layout, shape = placed.layout, self.graph.shapes[stage.output]
        place = layout.position_places
        read = window(layout.grid, shape.grid, kernel=stage.kernel, strides=stage.strides, pads=stage.pads)
        if place.shape[1] != 1 or (read < 0).any():
            return None
        shifts = (place[read, 0] - place[read[:1], 0]) % self.slots
        if (shifts != shifts[:, :1]).any():
            return None
        offsets = shifts[:, 0].reshape(stage.kernel)
        rows, columns = offsets[:, 0], offsets[0]
        if ((rows[:, None] + columns[None, :]) % self.slots != offsets).any():
            return None
        folds = tuple(Fold(tuple(int(x) for x in part)) for part in (rows, columns) if len(part) > 1)
        kept = replace(
            layout,
            grid=shape.grid,
            entry_position=np.arange(read.shape[1]),
            entry_slot=place[read[0], 0],
            name=stage.name,
        )
        group = [int(x) for x in np.unique(offsets)]
        closed = {(a + b) % self.slots for a in group for b in group} == set(group)
        result = kept.with_shifts([0]) if not closed or len(group) == 1 else _copied(kept, group)
        pattern = _pooled_pattern(placed.pattern, stage, shape)
        return PoolFold(stage.name, source, stage.output, folds, stage.divisor, kept, (), Placed(result, pattern))

    def _spread(self, stage: Pool, done: PoolFold, before: Placed) -> PoolFold | None:
        """A mask, and the value copied over the window it was summed from."""
        if done.placed.layout is not done.kept and len(done.placed.layout.channel) > len(done.kept.channel):
            return None
        backwards = tuple(Fold(tuple(-offset % self.slots for offset in fold.offsets)) for fold in done.folds)
        shifts = [0]
        for fold in backwards:
            shifts = [s + offset for s in shifts for offset in fold.offsets]
        layout = done.kept.with_shifts(shifts)
        _, slot, _ = layout.table()
        ct = layout.table()[0]
        if len(np.unique(ct * self.slots + slot)) != len(slot):
            return None
        return replace(done, spread=backwards, placed=Placed(layout, done.placed.pattern))

    def _activation(self, stage: Polynomial, placed: Mapping[str, Placed]) -> float:
        limbs = self.limbs(stage)
        squarings = (len(stage.coefficients) - 2).bit_length()
        each = self.prices.rotation(limbs) + self.prices.rescale(limbs)
        return squarings * each * placed[self.graph.sources[stage.name][0]].layout.ciphertexts

    def _sum(self, stage: Sum, sources: tuple[str, ...], placed: Mapping[str, Placed]) -> Iterator[Move]:
        first, *others = sources
        steps: list[Step] = []
        price = 0.0
        names = [first]
        for i, other in enumerate(others):
            if placed[other].layout.key == placed[first].layout.key:
                names.append(other)
                continue
            shape = self.graph.shapes[other]
            target = Target(
                "partner", placed[first].layout, placed[first].layout, _any_pattern(placed[first], shape, self.slots)
            )
            move = self._transform(stage, other, placed[other].layout, identity(shape.channels, shape.grid), target)
            if move is None:
                return
            (step,) = move.steps
            assert isinstance(step, Transform)
            moved = replace(step, value=f"{stage.output}/{i}")
            steps.append(moved)
            names.append(moved.value)
            price += move.price
        yield Move("", (*steps, Addition(stage, tuple(names), stage.output, placed[first])), price)


def _any_pattern(placed: Placed, shape: Shape, slots: int) -> Pattern:
    return placed.pattern or plain(shape.grid, slots)


def _copied(kept: Layout, group: list[int]) -> Layout:
    shifts = np.repeat(np.asarray(group), len(kept.channel))
    return replace(
        kept,
        channel=np.tile(kept.channel, len(group)),
        channel_ct=np.tile(kept.channel_ct, len(group)),
        channel_slot=np.tile(kept.channel_slot, len(group)) + shifts,
    )


def _pooled_pattern(pattern: Pattern | None, pool: Pool, shape: Shape) -> Pattern | None:
    """The pattern of a map whose windows were added up in place."""
    if pattern is None:
        return None
    if pattern.name == "phases":
        columns = shape.grid[1]
        return replace(
            pattern,
            name="plain",
            grid=shape.grid,
            pitch=(columns, 1),
            row=columns,
            count=pattern.count * pool.kernel[0] * pool.kernel[1],
        )
    if pattern.pitch is None:
        return None
    pitch = (pattern.pitch[0] * pool.strides[0], pattern.pitch[1] * pool.strides[1])
    return replace(pattern, grid=shape.grid, pitch=pitch, subs=(0,))


def _taps_together(target: Target, virtual: int, together: int, slots: int) -> Layout:
    """The query's layout: ``together`` virtual channels (input channel, tap) in turn in the blocks of each
    ciphertext."""
    blocks = np.arange(target.pattern.count)
    ciphertexts = -(-virtual // together)
    channel = (blocks % together)[None] + together * np.arange(ciphertexts)[:, None]
    inside = channel < virtual
    ct = np.broadcast_to(np.arange(ciphertexts)[:, None], channel.shape)
    slot = np.broadcast_to(blocks * target.pattern.stride, channel.shape)
    entries = target.product
    return Layout(
        slots,
        ciphertexts,
        virtual,
        entries.grid,
        channel[inside],
        ct[inside],
        slot[inside],
        entries.entry_position,
        entries.entry_slot,
        f"taps{together}",
    )


def _tap_per_home(target: Target, virtual: int, slots: int) -> Layout:
    """The query's layout: each home of a ciphertext holds one virtual channel under every output channel, so that the
    first layer needs no rotation but those that add up the homes."""
    homes, entries = np.asarray(target.homes), target.product
    planes = np.unique(entries.channel_slot)
    planes = planes[planes < homes[1]]
    channel = np.repeat(np.arange(virtual), len(planes))
    ct, home = np.divmod(channel, len(homes))
    return Layout(
        slots,
        int(ct.max()) + 1,
        virtual,
        entries.grid,
        channel,
        ct,
        homes[home] + np.tile(planes, virtual),
        entries.entry_position,
        entries.entry_slot,
        "tap per home",
    )


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def _distances(layout: Layout) -> set[int]:
    """Distances between channels and between rows, for the split."""
    slots = np.unique(layout.channel_slot)
    return {int(d) for d in np.unique(np.diff(slots))[:3]} if len(slots) > 1 else set()
