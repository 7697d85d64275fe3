"""``load``: one door for every kind of model source.

Purpose: whatever comes in leaves as an ``onnx_ir.Model`` in one normal form.
Guarantees: a model in normal form or a KakuriError; the source is never changed, a module's mode is restored.
Does not guarantee: that a protection can run the model; ``kakuri.model.check`` says.
"""

from __future__ import annotations

import os
from pathlib import Path

import onnx_ir as ir

from kakuri.errors import KakuriError


def load(source: object, *, example: object = None) -> ir.Model:
    """Load a model and bring it to Kakuri's normal form.

    source: path of an .onnx or .tflite file, of a Darknet .cfg with its .weights beside it, or a ``torch.nn.Module``
    together with ``example``, one input (a tensor or numpy array, batch first) or a tuple of inputs.

    Normal form: opset 20, one graph without functions or control flow; nodes in topological order with unique names
    (``conv1`` from the module path or the weight's name); every value has a static shape and type, an open batch axis
    (axis 0 of an input) is fixed to 1, so the model answers one sample at a time; constants are folded and are
    initializers, never inputs; no Identity, no Dropout, no node without use; no metadata but the model's own.

    Raises KK-F12 (cannot read), KK-F13 and KK-M03 (above a limit), KK-M02 (not valid ONNX), KK-M04 (opset), KK-M05
    (unsupported content), KK-M06 (external data), KK-M07 (no static shapes), KK-M10 (source not supported yet),
    KK-M11 (example missing), KK-M12 (torch or tflite missing), KK-M13 (torch cannot export the module), KK-M40
    to KK-M44 (Darknet).
    """
    if isinstance(source, (str, os.PathLike)):
        return _load_file(Path(source))
    if hasattr(source, "state_dict") and hasattr(source, "forward"):
        from kakuri.model.importers.torch import load_module  # noqa: PLC0415  torch is an extra

        return load_module(source, example)
    raise KakuriError(
        "KK-M10",
        "cannot load a model from this",
        got=type(source).__name__,
        limit="a path, or a torch.nn.Module",
        hint='kk.load("model.onnx") or kk.load(module, example=x)',
    )


def _load_file(path: Path) -> ir.Model:
    suffix = path.suffix.lower()
    if suffix == ".cfg":
        from kakuri.model.importers.darknet.load import load_darknet  # noqa: PLC0415  keep `import kakuri.model` light

        return load_darknet(path)
    if suffix == ".tflite":
        from kakuri.model.importers.tflite.load import load_tflite  # noqa: PLC0415  tflite is an extra

        return load_tflite(path)
    from kakuri.model.importers.onnx import load_onnx  # noqa: PLC0415  keep `import kakuri.model` light

    return load_onnx(path)
