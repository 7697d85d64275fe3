"""What an ONNX classifier answers, by ONNX Runtime.

Purpose: logits and accuracy of a shipped or exported network over many images, without torch.
Guarantees: one image per call, as the network declares; preprocessing is the zoo's.
Does not guarantee: the last bit between versions of ONNX Runtime or numbers of threads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kakuri.model.runtime import onnxruntime
from kakuri.zoo.preprocessing import PREPROCESSING


def onnx_logits(model: Path | bytes, images: NDArray[np.uint8], *, threads: int = 1) -> NDArray[np.float32]:
    """images: uint8 (n, c, h, w); returns float32 (n, classes). model: an ONNX file or its bytes, batch 1."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    answers = [session.run(None, {name: PREPROCESSING.apply(image[None])})[0] for image in images]
    return np.concatenate(answers, axis=0)


def onnx_accuracy_percent(
    model: Path | bytes, images: NDArray[np.uint8], labels: NDArray[np.int64], *, threads: int = 1
) -> float:
    """Share of images whose largest logit is the label (int64, (n,)), in percent."""
    return float((onnx_logits(model, images, threads=threads).argmax(axis=1) == labels).mean() * 100)
