"""Compile a network on an endless chain and run it in the clear or dry."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from kakuri.encrypted.backends.simulated import SimulatedBackend
from kakuri.encrypted.build import ProbeChain
from kakuri.encrypted.compile import Compiled, compile_network
from kakuri.encrypted.execute import encode_constants, execute
from kakuri.encrypted.multiplexed.compile import MULTIPLEXED, compile_assignment, lay_out
from kakuri.encrypted.multiplexed.scales import ElasticChain, Policy
from kakuri.encrypted.multiplexed.stages import stages_of
from kakuri.encrypted.network import Network
from kakuri.encrypted.noise import NoiseModel
from kakuri.encrypted.packings.registry import packing


def compiled(network: Network, name: str, slots: int = 8192, *, drop_unneeded: bool = True) -> Compiled:
    if name == MULTIPLEXED:
        return multiplexed(network, slots)[0]
    chain = ProbeChain(slots)
    return compile_network(network, packing(name), chain, NoiseModel(2 * slots), {}, drop_unneeded=drop_unneeded)


SCALES = Policy(fresh_bits=34, message_bits=30, weight_bits=28, answer_bits=28, mask_bits=24, limb_bits=(26, 48))


def multiplexed(network: Network, slots: int) -> tuple[Compiled, ElasticChain]:
    """A program on an endless chain, and that chain with the primes it came to want."""
    chain = ElasticChain(slots, 2.0**SCALES.fresh_bits)
    assignment = lay_out(stages_of(network), slots.bit_length(), slots)
    program = compile_assignment(
        network, chain, NoiseModel(2 * slots), {}, policy=SCALES, assignment=assignment, prepared={}
    )
    return program, chain


def run(network: Network, name: str, x: NDArray[np.float64], slots: int = 8192) -> NDArray[np.float64]:
    """x: (b, *input_shape); the program's answer in the clear."""
    if name == MULTIPLEXED:
        program, chain = multiplexed(network, slots)
        backend = SimulatedBackend(chain)
    else:
        program = compiled(network, name, slots)
        backend = SimulatedBackend(ProbeChain(slots))
    inputs = [backend.fresh(row) for row in program.input.pack(x, slots)]
    outputs, _ = execute(program.program, backend, encode_constants(program.program, backend), inputs)
    return program.output.unpack(np.stack([o.values for o in outputs if o.values is not None]), len(x))


def count(network: Network, name: str, *, drop_unneeded: bool = False) -> Counter[str]:
    """Operations executed, from a dry run."""
    program = compiled(network, name, drop_unneeded=drop_unneeded).program
    backend = SimulatedBackend(ProbeChain(8192), arithmetic=False)
    inputs = [backend.fresh(np.zeros(1)) for _ in program.inputs]
    return execute(program, backend, encode_constants(program, backend), inputs)[1].total()
