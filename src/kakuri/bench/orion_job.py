"""A network as a job for ``peers/orion_program.py``.

Purpose: the very layers that Kakuri compiles (batch normalisation folded, coefficients folded) as plain data, and
parameters for Orion that its users would choose.
Guarantees: the ring is the smallest whose 128-bit limit (the one Kakuri obeys) holds the levels the network takes on
Orion; real slots (the conjugate-invariant ring), which is the faster choice for Orion as well.
Does not guarantee: networks that are no chain, or pools with padding; KK-C23 names what is in the way.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri import _ckks
from kakuri.encrypted.network import Convolution, Dense, Flatten, Layer, Network, Polynomial, Pool
from kakuri.errors import KakuriError

SCALE_BITS = 26
BASE_BITS = 28
SPECIAL_BITS = (28, 28)
HAMMING_WEIGHT_SHARE = 0.5  # Orion wants a fixed weight; half of the ring is no weaker than the tables' uniform ternary
LOG_NS = (13, 14, 15, 16)
CALIBRATION_IMAGES = 100


def write_orion_job(
    network: Network, images: NDArray[np.float32], calibration: NDArray[np.float32], folder: Path
) -> None:
    """network.json, weights.npz and inputs.npz in ``folder``. images, calibration: (n, c, h, w). Raises KK-C23."""
    arrays: dict[str, NDArray[np.float64]] = {}
    layers = [_exported(layer, f"layer{i}", arrays) for i, layer in enumerate(_merged_pools(_chain(network)))]
    job = {
        "layers": layers,
        "outputs": math.prod(network.output_shape),
        "configuration": _configuration(sum(_depth(layer) for layer in layers)),
    }
    (folder / "network.json").write_text(json.dumps(job), encoding="utf-8")
    np.savez(folder / "weights.npz", **arrays)  # type: ignore[arg-type]
    np.savez(folder / "inputs.npz", images=images, calibration=calibration[:CALIBRATION_IMAGES])


def _chain(network: Network) -> list[Layer]:
    names = [network.input_name, *(layer.output for layer in network.layers)]
    for name, layer in zip(names, network.layers, strict=False):
        if layer.inputs != (name,):
            raise _refused(layer, "the network is no chain")
    return list(network.layers)


def _merged_pools(layers: list[Layer]) -> list[Layer]:
    """Pools that follow each other without overlap become one: a level less on Orion."""
    merged: list[Layer] = []
    for layer in layers:
        last = merged[-1] if merged else None
        if isinstance(layer, Pool) and isinstance(last, Pool) and all(_tiles(p) for p in (layer, last)):
            kernel = (last.kernel[0] * layer.kernel[0], last.kernel[1] * layer.kernel[1])
            divisor = last.divisor * layer.divisor
            merged[-1] = Pool(last.name, last.inputs, layer.output, layer.shape, kernel, kernel, last.pads, divisor)
        else:
            merged.append(layer)
    return merged


def _tiles(pool: Pool) -> bool:
    return pool.kernel == pool.strides and not any(pool.pads)


def _exported(layer: Layer, name: str, arrays: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    match layer:
        case Convolution():
            top, left, bottom, right = layer.pads
            if (top, left) != (bottom, right) or layer.dilations != (1, 1):
                raise _refused(layer, "padding that is not symmetric, or dilation")
            arrays[f"{name}.weight"], arrays[f"{name}.bias"] = layer.weight, layer.bias
            facts = {"weight": f"{name}.weight", "bias": f"{name}.bias"}
            return {"name": name, "kind": "convolution", "stride": layer.strides, "padding": (top, left), **facts}
        case Dense():
            arrays[f"{name}.weight"], arrays[f"{name}.bias"] = layer.weight, layer.bias
            return {"name": name, "kind": "dense", "weight": f"{name}.weight", "bias": f"{name}.bias"}
        case Pool():
            if any(layer.pads):
                raise _refused(layer, "a pool with padding")
            window = {"kernel": layer.kernel, "stride": layer.strides}
            return {"name": name, "kind": "pool", **window, "divisor": layer.divisor}
        case Polynomial():
            if layer.coefficients == (0.0, 0.0, 1.0):
                return {"name": name, "kind": "square"}
            return {"name": name, "kind": "polynomial", "coefficients": layer.coefficients}
        case Flatten():
            return {"name": name, "kind": "flatten"}
        case _:
            raise _refused(layer, f"layer type {type(layer).__name__}")


def _depth(layer: dict[str, Any]) -> int:
    """Levels on Orion: one a linear layer, ceil(log2(degree + 1)) a polynomial."""
    if layer["kind"] == "polynomial":
        return math.ceil(math.log2(len(layer["coefficients"])))
    return 0 if layer["kind"] == "flatten" else 1


def _configuration(depth: int) -> dict[str, Any]:
    bits = BASE_BITS + depth * SCALE_BITS + sum(SPECIAL_BITS)
    log_n = next((n for n in LOG_NS if bits <= _ckks.max_log_qp(n)), None)
    if log_n is None:
        raise KakuriError("KK-C23", "the peer has no ring for this depth", got=f"{depth} levels", where="orion-fhe")
    return {
        "ckks_params": {
            "LogN": log_n,
            "LogQ": [BASE_BITS, *[SCALE_BITS] * depth],
            "LogP": list(SPECIAL_BITS),
            "LogScale": SCALE_BITS,
            "H": int(HAMMING_WEIGHT_SHARE * (1 << log_n)),
            "RingType": "conjugateinvariant",
        },
        "orion": {
            "margin": 2,
            "embedding_method": "hybrid",
            "backend": "lattigo",
            "fuse_modules": True,
            "debug": False,
            "io_mode": "none",
        },
    }


def _refused(layer: Layer, what: str) -> KakuriError:
    return KakuriError("KK-C23", f"the peer cannot run this network: {what}", where=layer.name)
