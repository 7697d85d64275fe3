"""Planning: everything that can be known about an encrypted deployment before a key exists.

Purpose: prepare the model, choose packing, ring, moduli and scales; say what it costs and who sees what.
Guarantees: touches no key and no secret randomness; the parameters are at least 128-bit secure (the kernel refuses
others); operation counts come from a dry run of the very program that will run.
Does not guarantee: ``estimated_seconds`` on a busy machine; it is counts of work times what ``calibration`` measured.
"""

from __future__ import annotations

import math
import secrets
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri import _ckks_secret, model
from kakuri.encrypted import cost
from kakuri.encrypted.backends.simulated import SimulatedBackend
from kakuri.encrypted.calibration import this_machine
from kakuri.encrypted.chain import Chain, find_chain, level_bits, precisions, slots_of
from kakuri.encrypted.client import Client
from kakuri.encrypted.compile import Compiled, Probe, probe
from kakuri.encrypted.deployment import Deployment
from kakuri.encrypted.execute import Profile, encode_constants, execute
from kakuri.encrypted.multiplexed.choose import Wanted, bits_of, choose
from kakuri.encrypted.multiplexed.compile import MULTIPLEXED
from kakuri.encrypted.network import Network, Polynomial, lower
from kakuri.encrypted.noise import SAFETY
from kakuri.encrypted.packings.registry import packing as packing_named
from kakuri.encrypted.prepare import prepare
from kakuri.encrypted.schedule import peak_registers
from kakuri.encrypted.server import Recipe, Server
from kakuri.encrypted.timing import seconds
from kakuri.errors import KakuriError, KakuriWarning, Problem
from kakuri.model.reference import reference_rows
from kakuri.trust.threats import ENCRYPTED_INFERENCE

LOG_NS = (13, 14, 15, 16)
COARSEST, FINEST = 2.0**-5, 2.0**-10  # rounding steps against an answer of typical size, in multiplexed packing
LABELS_CHANGED = 1e-3  # part of the calibration's labels that rounding may change
HEADROOM = 4.0  # answers may exceed the calibrated ones by this factor before they overflow


@dataclass(frozen=True)
class Calibration:
    """What calibration inputs did to the prepared model.

    largest, typical: value name -> largest |value| and root mean square.
    """

    input_range: tuple[float, float]
    largest: dict[str, float]
    typical: dict[str, float]
    output_bound: float
    answers: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)  # (b, outputs)


@dataclass(frozen=True)
class EncryptedPlan:
    """Immutable; ``print`` it, compare ``to_dict()``, then ``build()``."""

    name: str
    net: ir.Model = field(repr=False)
    network: Network = field(repr=False)
    recipe: Recipe
    calibration: Calibration = field(repr=False)
    compiled: Compiled = field(repr=False)
    deployment: Deployment = field(repr=False)

    @cached_property
    def dry_run(self) -> Profile:
        """Operation counts per layer, from executing the program without arithmetic."""
        backend = SimulatedBackend(self.recipe.chain, arithmetic=False)
        program = self.compiled.program
        inputs = [backend.fresh(np.zeros(1)) for _ in program.inputs]
        return execute(program, backend, encode_constants(program, backend), inputs)[1]

    @property
    def counts(self) -> Counter[str]:
        return self.dry_run.total()

    def to_dict(self) -> dict[str, Any]:
        chain, program = self.recipe.chain, self.compiled.program
        sizes = cost.sizes(chain, self.compiled)
        return {
            "name": self.name,
            "packing": self.recipe.packing,
            "depth": chain.top_level - self.compiled.output_level,
            "ring": chain.ring.replace("_", "-"),
            "ring_dimension": chain.n,
            "slots": chain.slots,
            "samples_per_query": self.deployment.capacity,
            "log_qp_bits": round(self.deployment.parameters.log_qp, 2),
            "security_bits": self.deployment.parameters.security_bits,
            "moduli_bits": [round(math.log2(q), 2) for q in chain.moduli],
            "special_moduli_bits": [round(math.log2(q), 2) for q in chain.special_moduli],
            "key_switching_digits": chain.digits,
            "rotation_keys": len(program.rotations),
            "evaluation_key_bytes": sizes.evaluation_key_bytes,
            "query_bytes": sizes.query_bytes,
            "answer_bytes": sizes.answer_bytes,
            "peak_ciphertexts": peak_registers(program),
            "memory_bytes": sizes.memory.total,
            "memory_parts_bytes": asdict(sizes.memory),
            "fits_this_machine": sizes.memory.total <= cost.machine_memory_bytes(),
            "estimated_seconds": seconds(chain, program, this_machine()),
            "error_estimate": self.compiled.error,
            "precision_bits": self.deployment.precision_bits,
            "operations": dict(self.counts),
            "who_sees_what": ENCRYPTED_INFERENCE.to_dict(),
        }

    def __str__(self) -> str:
        d = self.to_dict()
        mib = 1 << 20
        rows = [
            ("network", self.name),
            ("packing", f"{d['packing']}, {d['samples_per_query']} sample(s) a query"),
            ("levels", f"{d['depth']} of moduli {d['moduli_bits']} bits"),
            ("ring", f"N = {d['ring_dimension']}, log2 QP = {d['log_qp_bits']}, {d['security_bits']}-bit security"),
            ("", f"{d['ring']} ring, {d['slots']} slots"),
            ("key switching", f"{d['key_switching_digits']} digits, special moduli {d['special_moduli_bits']} bits"),
            ("evaluation keys", f"{d['evaluation_key_bytes'] / mib:.0f} MiB ({d['rotation_keys']} rotations)"),
            ("query, answer", f"{d['query_bytes'] / mib:.2f} MiB, {d['answer_bytes'] / mib:.2f} MiB"),
            ("server memory", f"about {d['memory_bytes'] / mib:.0f} MiB: " + _parts(d["memory_parts_bytes"])),
            *([] if d["fits_this_machine"] else [("", _too_large(d["peak_ciphertexts"]))]),
            ("time", _time(d["estimated_seconds"], d["samples_per_query"])),
            ("precision", f"{d['precision_bits']} bits after the point (error about {d['error_estimate']:.1e})"),
            ("operations", ", ".join(f"{k} {v}" for k, v in sorted(d["operations"].items()))),
        ]
        return "\n".join(f"{name:16} {value}" for name, value in rows) + "\n" + str(ENCRYPTED_INFERENCE)

    def build(self, threads: int | None = None) -> tuple[Client, Server]:
        """Makes the keys. The client holds the secret; the server gets the evaluation keys."""
        parameters, program = self.deployment.parameters, self.compiled.program
        secret = _ckks_secret.SecretKey.generate(parameters)
        keys = secret.evaluation_keys(program.rotations, program.relinearization_level)
        deployment = replace(self.deployment, key_id=secrets.token_hex(16))
        server = Server(deployment, self.net, self.recipe, keys, threads=threads, compiled=self.compiled)
        return Client(deployment, secret), server

    def check_ranges(self, samples: NDArray[np.floating[Any]]) -> list[str]:
        """Activations whose input exceeds, on ``samples`` (b, *input_shape), what calibration saw; warns about each.

        Computed in the clear by whoever holds model and samples; a server cannot see it happen.
        """
        seen, allowed = _calibrate(self.net, self.network, samples).largest, self.calibration.largest
        outside = [
            f"{layer.name}: its input reaches {seen[name]:.4g}, calibration saw at most {allowed[name]:.4g}"
            for layer in self.network.layers
            if isinstance(layer, Polynomial)
            for name in layer.inputs
            if name in allowed and seen[name] > allowed[name] * 1.001
        ]
        for message in outside:
            warnings.warn(f"outside the calibrated range: {message}", KakuriWarning, stacklevel=2)
        return outside


def _time(estimated_seconds: float, samples: int) -> str:
    each = f", {samples / estimated_seconds:.0f} samples a second where the query is full" if samples > 1 else ""
    return f"about {estimated_seconds:.2g} s on one core{each}"


def _too_large(ciphertexts: int) -> str:
    mib = cost.machine_memory_bytes() >> 20
    return (
        f"more than this machine's {mib} MiB: {ciphertexts} ciphertexts live at once; multiplexed packing needs fewer"
    )


def _parts(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {size / (1 << 20):.0f}" for name, size in sizes.items() if size >= 1 << 19)


def plan(
    net: ir.Model,
    *,
    packing: str = "auto",
    calibration: NDArray[np.floating[Any]] | None = None,
    precision_bits: int | None = None,
    log_n: int | None = None,
    labels: tuple[str, ...] = (),
    drop_unneeded: bool = True,
) -> EncryptedPlan:
    """Plan for answering encrypted queries to ``net``.

    packing: "multiplexed" (latency; what "auto" takes), "channel" (the document's), "batch" (throughput). calibration:
    (b, *input_shape) real inputs like those to come; without it values are assumed to stay below 8 and a warning says
    so. precision_bits: wanted after the binary point of the answer (default: 8; in multiplexed packing what the
    answer's size asks for). log_n: forces a ring. labels: names of the outputs. drop_unneeded: leave out values no
    output needs.

    Raises KK-E01..E13 for a network that cannot be encrypted (all problems at once), KK-E20 when no ring fits.
    """
    prepared = prepare(_checked(net))
    network = lower(prepared)
    chosen = MULTIPLEXED if packing == "auto" else packing
    seen = _calibrate(prepared, network, calibration)
    log_ns = LOG_NS if log_n is None else (log_n,)
    if chosen == MULTIPLEXED:
        recipe, compiled = _multiplexed(network, seen, log_ns, precision_bits)
    else:
        wanted = _Wanted(chosen, 8 if precision_bits is None else precision_bits, log_ns, drop_unneeded)
        recipe, compiled = _smallest_ring(prepared, network, seen, wanted)
    precision = math.floor(-math.log2(2.0 * SAFETY * compiled.error))
    deployment = Deployment(
        name=str(prepared.graph.name or "network"),
        parameters=recipe.chain.parameters(),
        input=compiled.input,
        output=compiled.output,
        scale=recipe.chain.scale,
        precision_bits=max(0, min(precision, 40)),
        input_range=seen.input_range,
        output_bound=HEADROOM * seen.output_bound,
        labels=labels,
    )
    return EncryptedPlan(deployment.name, prepared, network, recipe, seen, compiled, deployment)


def _checked(net: ir.Model) -> ir.Model:
    """Refuses every problem at once, replaceable ones too: which replacement is right is the owner's choice."""
    found = model.check(net, "encrypted").problems
    if found:
        raise KakuriError.collect([Problem(p.code, f"{p.op} {p.what}", where=p.node, hint=p.hint) for p in found])
    return net


def _calibrate(net: ir.Model, network: Network, samples: NDArray[np.floating[Any]] | None) -> Calibration:
    if samples is None:
        warnings.warn(
            "no calibration inputs: values are assumed to stay below 8 in size; pass calibration=",
            KakuriWarning,
            stacklevel=3,
        )
        return Calibration((-math.inf, math.inf), {}, {}, 8.0)
    inputs = np.asarray(samples, dtype=np.float32)
    names = network.value_names()
    largest, squares = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    answers: list[NDArray[np.float64]] = []
    for sample, row in zip(inputs, reference_rows(net, inputs, names[1:]), strict=True):
        for name, array in {network.input_name: sample, **row}.items():
            value = np.asarray(array, dtype=np.float32).reshape(-1)
            largest[name] = max(largest[name], float(np.abs(value).max()))
            squares[name] += float(value @ value) / len(value)
        answers.append(np.asarray(row[network.output_name], dtype=np.float64).reshape(1, -1))
    typical = {name: math.sqrt(total / len(inputs)) for name, total in squares.items()}
    bounds = (float(inputs.min()), float(inputs.max()))
    return Calibration(bounds, largest, typical, largest[network.output_name], np.concatenate(answers))


def _multiplexed(
    network: Network, seen: Calibration, log_ns: tuple[int, ...], precision_bits: int | None
) -> tuple[Recipe, Compiled]:
    """Without ``precision_bits`` the answers are rounded as finely as their labels need (``_step_bits``)."""
    typical = seen.typical.get(network.output_name, seen.output_bound)
    bits = _step_bits(typical, seen.answers) if precision_bits is None else precision_bits
    absolute = 2.0**-bits / (2.0 * SAFETY)
    largest = max(seen.largest.values(), default=seen.output_bound)
    wanted = Wanted(log_ns, absolute, bits_of(seen.output_bound, HEADROOM), bits_of(largest, 1.0))
    chain, design, compiled = choose(network, seen.typical, wanted)
    return Recipe(MULTIPLEXED, chain, True, design), compiled


def _step_bits(typical: float, answers: NDArray[np.float64] | None) -> int:
    """The coarsest rounding 2^-bits under which at most ``LABELS_CHANGED`` of the labels are expected to change.

    Two scores at distance d fall on one multiple of the step with probability 1 - d / step, and then the label is one
    of both by chance. Never coarser than ``COARSEST`` nor finer than ``FINEST``.
    """
    bits, finest = (math.ceil(-math.log2(part * typical)) for part in (COARSEST, FINEST))
    if answers is None or answers.shape[1] < 2:
        return bits
    best = np.sort(answers, axis=1)[:, -2:]
    distance = best[:, 1] - best[:, 0]
    while bits < finest and np.maximum(0.0, 1.0 - distance * 2.0**bits).mean() / 2.0 > LABELS_CHANGED:
        bits += 1
    return bits


@dataclass(frozen=True)
class _Wanted:
    packing: str
    precision_bits: int
    log_ns: tuple[int, ...]
    drop_unneeded: bool


def _smallest_ring(net: ir.Model, network: Network, seen: Calibration, wanted: _Wanted) -> tuple[Recipe, Compiled]:
    """The first ring, and in it the most precise scales, that give the wanted precision at 128-bit security."""
    integer_bits = max(1, math.ceil(math.log2(HEADROOM * seen.output_bound)))
    tried: list[str] = []
    for log_n in wanted.log_ns:
        pack = packing_named(wanted.packing)
        try:
            pack.check(network, slots_of(log_n, pack.ring))
        except KakuriError as error:
            if log_n == wanted.log_ns[-1]:
                raise
            tried.append(f"2^{log_n}: {error.problem.what}")
            continue
        chains = _chains(probe(network, pack, slots_of(log_n, pack.ring)), log_n, integer_bits, pack.ring)
        errors: list[str] = []
        for chain in chains:
            recipe = Recipe(wanted.packing, chain, wanted.drop_unneeded)
            compiled = recipe.compile(net, seen.typical)
            if 2.0 * SAFETY * compiled.error <= 2.0**-wanted.precision_bits:
                return recipe, compiled
            errors.append(f"{compiled.error:.1e}")
        tried.append(f"2^{log_n}: " + (f"error {min(errors, key=float)}" if errors else "does not fit at 128 bits"))
    raise KakuriError(
        "KK-E20",
        f"no ring gives {wanted.precision_bits} bits after the point at 128-bit security",
        where=str(net.graph.name),
        got="; ".join(tried),
        limit="rings " + ", ".join(f"2^{log_n}" for log_n in wanted.log_ns),
        hint="lower precision_bits, lower-degree activations, or fewer layers",
    )


def _chains(found: Probe, log_n: int, integer_bits: int, ring: str) -> list[Chain]:
    """Every chain that is secure in this ring: the cheapest to key-switch with first, among equals the most precise."""
    made = (
        find_chain(level_bits(found.uses, found.depth, precision, integer_bits), log_n, precision, ring)
        for precision in precisions()
    )
    chains = [chain for chain in made if chain is not None]
    return sorted(chains, key=lambda c: c.digits * (len(c.moduli) + len(c.special_moduli)))
