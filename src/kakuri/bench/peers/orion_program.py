"""Peer: the same network on Orion (Lattigo underneath), as its users write it.

Runs in ``.venv-bench`` with numpy, torch and orion only; knows nothing of kakuri. argv[1] is a job folder with
``network.json`` (a chain of layers, batch normalisation already folded), ``weights.npz`` and ``inputs.npz``, written by
``kakuri.bench.orion_job``. Speaks the protocol of ``kakuri.bench.worker``.

Orion prints while it works, also from its Go library, so the protocol keeps a copy of the real stdout and everything
else goes to stderr. The clock covers the network on ciphertexts: encryption and decryption are outside.
"""

import json
import os
import resource
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Orion imports torchvision for its own data sets, which this program does not use; the package is not installed.
torchvision = types.ModuleType("torchvision")
torchvision.datasets = torchvision.transforms = types.SimpleNamespace()  # type: ignore[attr-defined]
sys.modules.setdefault("torchvision", torchvision)

import orion  # noqa: E402
import orion.nn as on  # noqa: E402

Job = dict[str, Any]


class Pool(on.AvgPool2d):  # type: ignore[misc]
    """Window sums divided by ``divisor``, which may have been folded into a neighbour."""

    def __init__(self, kernel: list[int], stride: list[int], divisor: float) -> None:
        super().__init__(tuple(kernel), stride=tuple(stride))
        self.gain = float(np.prod(kernel)) / divisor

    def update_params(self) -> None:
        super().update_params()
        self.on_weight *= self.gain

    def forward(self, x: Any) -> Any:
        return super().forward(x) if self.he_mode else super().forward(x) * self.gain


class Chain(on.Module):  # type: ignore[misc]
    def __init__(self, layers: list[Job], arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.names = [layer["name"] for layer in layers]
        for layer in layers:
            setattr(self, layer["name"], module(layer, arrays))

    def forward(self, x: Any) -> Any:
        for name in self.names:
            x = getattr(self, name)(x)
        return x


def module(layer: Job, arrays: dict[str, np.ndarray]) -> Any:
    kind = layer["kind"]
    if kind == "convolution":
        weight = torch.tensor(arrays[layer["weight"]], dtype=torch.float32)
        made = on.Conv2d(
            weight.shape[1],
            weight.shape[0],
            tuple(weight.shape[2:]),
            stride=tuple(layer["stride"]),
            padding=tuple(layer["padding"]),
        )
    elif kind == "dense":
        weight = torch.tensor(arrays[layer["weight"]], dtype=torch.float32)
        made = on.Linear(weight.shape[1], weight.shape[0])
    elif kind == "pool":
        return Pool(layer["kernel"], layer["stride"], layer["divisor"])
    elif kind == "square":
        return on.Quad()
    elif kind == "polynomial":
        return on.Activation(layer["coefficients"][::-1])
    else:
        return on.Flatten()
    made.weight.data = weight
    made.bias.data = torch.tensor(arrays[layer["bias"]], dtype=torch.float32)
    return made


def main() -> None:
    folder = Path(sys.argv[1])
    talk = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    arrays = dict(np.load(folder / "weights.npz", allow_pickle=False))
    inputs = np.load(folder / "inputs.npz", allow_pickle=False)
    images, calibration = torch.tensor(inputs["images"]), torch.tensor(inputs["calibration"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

    start = time.perf_counter()
    orion.init_scheme(job["configuration"])
    net = Chain(job["layers"], arrays)
    net.eval()
    # A loader, not a tensor: Orion packs for the batch size that calibration shows it.
    orion.fit(net, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(calibration), batch_size=1))
    level = orion.compile(net)
    setup = time.perf_counter() - start
    net.he()

    def answer(index: int) -> Job:
        query = orion.encrypt(orion.encode(images[index : index + 1], level))
        begin = time.perf_counter()
        result = net(query)
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "values": result.decrypt().decode().reshape(-1)[: job["outputs"]].tolist()}

    def say(message: Job) -> None:
        talk.write(json.dumps(message) + "\n")
        talk.flush()

    answer(0)  # warm-up
    say({"ready": {"setup_seconds": setup}})
    for line in sys.stdin:
        say(answer(json.loads(line)["run"]))
    say({"summary": {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}})


main()
