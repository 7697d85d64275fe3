"""A whole split network: the outer parts here, the inner part behind a backend.

Purpose: ``load(path, policy)`` -> ``session.run(inputs)``; ``prepare(path, policy)`` beforehand, where loading must be
quick.
Guarantees: the outer networks are those that the signature covers; each answer states the backend's guarantee.
Does not guarantee: anything about the outer layers; they run in the open, under ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.closing import Closing
from kakuri.enclave.backends.contract import Answer, Backend, Guarantee, Policy, Session
from kakuri.enclave.backends.process import ProcessBackend
from kakuri.enclave.sealed import SealedPackage, open_sealed
from kakuri.errors import KakuriError
from kakuri.model.runtime import onnxruntime

Arrays = Mapping[str, NDArray[Any]]


class OuterNetwork:
    """One part that runs in the open, sample by sample."""

    def __init__(self, net: ir.Model | bytes) -> None:
        """net: as ``model.to_bytes`` wrote it, from a place whose signature is right, or a model of this process."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        data = net if isinstance(net, bytes) else ir.to_proto(net).SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001  the runtime's exception types are not public
            lines = str(error).splitlines() or [type(error).__name__]
            raise KakuriError("KK-W20", "the outer network does not run here", got=ascii(lines[0][:200])) from None
        self.inputs = {value.name: tuple(value.shape) for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, values: Arrays) -> dict[str, NDArray[Any]]:
        """Every output for a batch. Raises KK-W14 when an input is missing or does not fit."""
        missing = [name for name in self.inputs if name not in values]
        if missing:
            raise KakuriError("KK-W14", "an input is missing", got=missing[:8])
        rows = []
        for index in range(len(values[next(iter(self.inputs))])):
            feeds = {name: values[name][index : index + 1] for name in self.inputs}
            try:
                rows.append(self._session.run(self._outputs, feeds))
            except Exception as error:  # noqa: BLE001  the runtime's exception types are not public
                lines = str(error).splitlines() or [type(error).__name__]
                raise KakuriError("KK-W14", "the inputs do not fit the network", got=ascii(lines[0][:200])) from None
        return {name: np.concatenate([row[k] for row in rows]) for k, name in enumerate(self._outputs)}


class EnclaveSession(Closing):
    """A loaded package with its outer parts; close it or use it as a context manager."""

    def __init__(self, package: SealedPackage, inner: Session) -> None:
        self.package, self.inner = package, inner
        self._before, self._after = (
            OuterNetwork(net) if net is not None else None
            for net in (package.outside("before.onnx"), package.outside("after.onnx"))
        )

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape, batch axis 1, of what the outer part before takes, or of the boundary where there is none."""
        if self._before is not None:
            return self._before.inputs
        return {item.name: item.shape for item in self.package.facts.entering}

    @property
    def guarantee(self) -> Guarantee:
        return self.inner.guarantee

    @property
    def all_inside(self) -> bool:
        """Whether no outer layer computes anything."""
        return self._before is None and self._after is None

    def run(self, inputs: Arrays) -> Answer:
        """inputs: the whole network's, by name, (B, ...). Raises KK-W14."""
        values = dict(inputs)
        if self._before is not None:
            values |= self._before.run(values)
        values |= self.inner.invoke(values).outputs
        if self._after is not None:
            values |= self._after.run(values)
        return Answer({name: values[name] for name in self.package.facts.outputs}, self.guarantee)

    def close(self) -> None:
        self.inner.close()
        self.package.close()


def prepare(path: Path | str, policy: Policy) -> ProcessBackend:
    """A ``process`` backend with the package's worker standing, so that a later ``load`` need not wait for its start.

    Raises as ``load`` does. Close the backend when no load comes.
    """
    backend = ProcessBackend()
    with open_sealed(path, policy.signer) as package:
        backend.prepare(package, policy)
    return backend


def load(path: Path | str, policy: Policy, backend: Backend | None = None) -> EnclaveSession:
    """Open, check and load a sealed package; the default backend is ``process``.

    Raises KK-K41 (signature), KK-W20 and KK-W21 (package), KK-W10 to KK-W12 (backend).
    """
    package = open_sealed(path, policy.signer)
    try:
        package.read_ahead()
        inner = (backend or ProcessBackend()).load(package, policy)
        try:
            return EnclaveSession(package, inner)
        except BaseException:
            inner.close()
            raise
    except BaseException:
        package.close()
        raise
