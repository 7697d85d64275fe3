"""A torch module to a model in normal form.

Purpose: ``load(module, example=x)`` through torch's own ONNX exporter.
Requires: the extra ``kakuri[torch]``.
Guarantees: the module is exported in eval mode and every submodule's training flag is restored, also on failure; the
    result passes the same checks as a file; nodes are named after module paths.
Does not guarantee: data-dependent control flow; torch's exporter refuses it, which arrives as KK-M13.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from kakuri.errors import KakuriError
from kakuri.model.importers.onnx import normalize, parse
from kakuri.model.limits import DEFAULT_LIMITS, Limits
from kakuri.model.passes.fold_constants import TARGET_OPSET

if TYPE_CHECKING:
    import torch


def load_module(module: object, example: object, limits: Limits = DEFAULT_LIMITS) -> ir.Model:
    """Export ``module`` at ``example`` and bring it to normal form. Raises KK-M11 to KK-M13 and those of a file."""
    try:
        import onnxscript.optimizer  # noqa: PLC0415
        import torch  # noqa: PLC0415
    except ImportError as error:
        raise KakuriError(
            "KK-M12", f"loading a torch module needs {error.name}", hint="pip install kakuri[torch]"
        ) from None
    if not isinstance(module, torch.nn.Module):
        raise KakuriError("KK-M10", "not a torch.nn.Module", got=type(module).__name__)
    arguments = _arguments(example)
    with _eval_mode(module), _quiet():
        try:
            program = torch.onnx.export(
                module, arguments, dynamo=True, optimize=False, verbose=False, opset_version=TARGET_OPSET
            )
        except Exception as error:  # noqa: BLE001  the exporter documents no exception types
            raise KakuriError(
                "KK-M13",
                "torch cannot export this module to ONNX",
                where=type(module).__name__,
                got=f"{type(error).__name__}: {_first_line(error)}",
                hint="does module(example) run, without branches on tensor values?",
            ) from None
    exported = cast("ir.Model", program.model if program is not None else None)
    InlinePass()(exported)
    onnxscript.optimizer.fold_constants(exported)  # tuples of tensors (chunk, split) become plain Split nodes
    return normalize(parse(ir.to_proto(exported).SerializeToString(), limits), limits)


def _arguments(example: object) -> tuple[torch.Tensor, ...]:
    import torch  # noqa: PLC0415

    items = example if isinstance(example, tuple) else (example,)
    tensors = tuple(torch.from_numpy(item) if isinstance(item, np.ndarray) else item for item in items)
    if not tensors or not all(isinstance(item, torch.Tensor) for item in tensors):
        raise KakuriError(
            "KK-M11",
            "a torch module needs an example input",
            got=type(example).__name__,
            hint="kk.load(module, example=torch.zeros(1, 1, 28, 28))",
        )
    return tensors


@contextlib.contextmanager
def _eval_mode(module: torch.nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress notes and deprecation warnings out of the caller's output."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else ""
