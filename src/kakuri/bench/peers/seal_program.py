"""Peer: the same ciphertext program on Microsoft SEAL, through seal-python.

Runs in ``.venv-bench`` with numpy and seal only; knows nothing of kakuri. argv[1] is a job folder with ``program.json``
and ``arrays.npz``, written by ``kakuri.bench.encrypted_case``. Speaks the protocol of ``kakuri.bench.worker``.

The circuit is the one Kakuri runs, instruction by instruction: the same primes, levels, scales and rotations. Where
Kakuri factors a mask out of a sum of products, SEAL multiplies by the masked weights, which is how its users write it.
SEAL has no hoisting, so every rotation stands alone. All plaintexts are encoded before the clock starts.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import seal
from numpy.typing import NDArray

Job = dict[str, Any]
Values = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


class Seal:
    def __init__(self, job: Job, arrays: Arrays) -> None:
        self.arrays = arrays
        parameters = seal.EncryptionParameters(seal.scheme_type.ckks)
        parameters.set_poly_modulus_degree(2 * job["slots"])
        primes = [*job["moduli"], job["special_modulus"]]
        parameters.set_coeff_modulus([seal.Modulus(q) for q in primes])
        self.context = seal.SEALContext(parameters)
        if not self.context.parameters_set():
            raise SystemExit(self.context.parameter_error_message())
        keys = seal.KeyGenerator(self.context)
        self.encryptor = seal.Encryptor(self.context, keys.create_public_key())
        self.decryptor = seal.Decryptor(self.context, keys.secret_key())
        self.relin = keys.create_relin_keys()
        self.galois = seal.GaloisKeys()
        keys.create_galois_keys(job["rotations"], self.galois)
        self.evaluator = seal.Evaluator(self.context)
        self.encoder = seal.CKKSEncoder(self.context)
        self.parms: dict[int, Any] = {}
        data = self.context.first_context_data()
        for level in range(len(job["moduli"]) - 1, -1, -1):
            self.parms[level] = data.parms_id()
            data = data.next_context_data() if level else None
        self.cache: dict[Hashable, Any] = {}

    def encode(self, values: Values, scale: float, level: int) -> Any:
        plain = self.encoder.encode(values, scale)
        if level != max(self.parms):
            self.evaluator.mod_switch_to_inplace(plain, self.parms[level])
        return plain

    def plain(self, key: Hashable, values: Callable[[], Values], scale: float, level: int) -> Any:
        if key not in self.cache:
            self.cache[key] = self.encode(values(), scale, level)
        return self.cache[key]

    def run(self, job: Job, packed: Values) -> tuple[float, list[float]]:
        ev = self.evaluator
        registers: dict[int, Any] = {}
        for register, row in zip(job["inputs"], packed, strict=True):
            registers[register] = self.encryptor.encrypt(self.encoder.encode(row, job["scale"]))
        start = time.perf_counter()
        for index, step in enumerate(job["instructions"]):
            self.step(ev, registers, index, step)
            for register in step["dead"]:
                registers.pop(register, None)
        seconds = time.perf_counter() - start
        outputs = [registers[r] for r in job["outputs"]]
        values = [float(np.asarray(self.encoder.decode(self.decryptor.decrypt(c)))[0]) for c in outputs]
        return seconds, values

    def step(self, ev: Any, r: dict[int, Any], index: int, s: Job) -> None:
        op = s["op"]
        if op == "RotateHoisted":
            for step, target in zip(s["steps"], s["targets"], strict=True):
                r[target] = ev.rotate_vector(r[s["source"]], step, self.galois) if step else r[s["source"]]
        elif op == "LinearCombination":
            weights = self.arrays[s["weights"]]
            mask = self.arrays[s["mask"]]
            for o, target in enumerate(s["targets"]):
                total = None
                for i, source in enumerate(s["sources"]):
                    plain = self.plain((index, o, i), partial(np.multiply, mask, weights[o, i]), s["scale"], s["level"])
                    product = ev.multiply_plain(r[source], plain)
                    if total is None:
                        total = product
                    else:
                        ev.add_inplace(total, product)
                r[target] = total
        elif op == "RotateSum":
            total = r[s["source"]]
            for step in s["steps"]:
                total = ev.add(total, ev.rotate_vector(total, step, self.galois))
            r[s["target"]] = total
        elif op == "AddMany":
            r[s["target"]] = ev.add_many([r[x] for x in s["sources"]])
        elif op == "MultiplyPlain":
            plain = self.plain(index, lambda: self.arrays[s["values"]], s["scale"], s["level"])
            r[s["target"]] = ev.multiply_plain(r[s["source"]], plain)
        elif op == "MultiplyScalar":
            plain = self.plain(index, lambda: np.full(self.encoder.slot_count(), s["value"]), s["scale"], s["level"])
            r[s["target"]] = self.scaled(ev.multiply_plain(r[s["source"]], plain), s["result_scale"])
        elif op in ("AddPlain", "AddScalar"):
            values = (
                (lambda: self.arrays[s["values"]])
                if op == "AddPlain"
                else (lambda: np.full(self.encoder.slot_count(), s["value"]))
            )
            plain = self.plain(index, values, s["scale"], s["level"])
            r[s["target"]] = ev.add_plain(self.scaled(r[s["source"]], s["scale"]), plain)
        elif op == "Square":
            r[s["target"]] = ev.square(r[s["source"]])
        elif op == "Relinearize":
            r[s["target"]] = ev.relinearize(r[s["source"]], self.relin)
        elif op == "Rescale":
            r[s["target"]] = self.scaled(ev.rescale_to_next(r[s["source"]]), s["result_scale"])
        elif op == "DropToLevel":
            r[s["target"]] = ev.mod_switch_to(r[s["source"]], self.parms[s["level"]])
        elif op == "Subtract":
            r[s["target"]] = ev.sub(r[s["left"]], r[s["right"]])
        elif op == "Negate":
            r[s["target"]] = ev.negate(r[s["source"]])
        else:
            raise SystemExit(f"unknown instruction {op}")

    def scaled(self, ciphertext: Any, scale: float) -> Any:
        """Rounding of the last bit of a scale would make SEAL refuse an addition."""
        if ciphertext.scale() != scale:
            ciphertext.scale(scale)
        return ciphertext


def main() -> None:
    folder = Path(sys.argv[1])
    job = json.loads((folder / "program.json").read_text(encoding="utf-8"))
    arrays = dict(np.load(folder / "arrays.npz", allow_pickle=False))
    start = time.perf_counter()
    peer = Seal(job, arrays)
    keys_seconds = time.perf_counter() - start
    peer.run(job, arrays["packed"][0])  # warm-up: encodes and caches every plaintext
    print(json.dumps({"ready": {"setup_seconds": keys_seconds}}), flush=True)
    for line in sys.stdin:
        seconds, values = peer.run(job, arrays["packed"][json.loads(line)["run"]])
        print(json.dumps({"seconds": seconds, "values": values}), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"summary": {"peak_bytes": peak}}), flush=True)


main()
