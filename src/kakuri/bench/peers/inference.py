"""One system on one network: the generated C, LiteRT, LiteRT without delegates, or ONNX Runtime; one thread each.

Runs in ``.venv-bench`` with numpy and the runtimes; knows nothing of kakuri. argv: the system, and a job folder with
``job.json`` and ``inputs.npz``, written by ``kakuri.bench.codegen``. Speaks the protocol of ``kakuri.bench.worker``.
A turn is one run, or as many as take 2 ms; ``first_seconds`` is its first alone. ``peak_bytes`` is what the process
grew by since its imports; ``setup_seconds`` ends with the first answer.
"""

import ctypes
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[], None]
Arrays = list[NDArray[Any]]
_TURN_SECONDS = 2e-3


def generated(job: dict[str, Any], inputs: Arrays) -> Run:
    library = ctypes.CDLL(job["library"])
    function = getattr(library, job["entry"])
    memory = np.empty(job["arena_bytes"] + 64, np.uint8)
    arena = memory.ctypes.data + -memory.ctypes.data % 64
    outputs = [np.empty(size, np.uint8) for size in job["output_bytes"]]
    given = (ctypes.c_void_p * len(inputs))(*(array.ctypes.data for array in inputs))
    taken = (ctypes.c_void_p * len(outputs))(*(array.ctypes.data for array in outputs))
    kept = (inputs, outputs, memory)

    def run() -> None:
        if function(given, taken, ctypes.c_void_p(arena), ctypes.c_size_t(job["arena_bytes"])) or not kept:
            raise SystemExit("the generated code refused")

    return run


def litert(job: dict[str, Any], inputs: Arrays, *, delegates: bool) -> Run:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(job["tflite"], num_threads=1, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    invoke: Run = interpreter.invoke
    return invoke


def onnx_runtime(job: dict[str, Any], inputs: Arrays) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(job["onnx"], options, providers=["CPUExecutionProvider"])
    feed = dict(zip((item.name for item in session.get_inputs()), inputs, strict=True))

    def run() -> None:
        session.run(None, feed)

    return run


def start(system: str, job: dict[str, Any], inputs: Arrays) -> Run:
    if system == "kakuri":
        return generated(job, inputs)
    if system == "onnxruntime":
        return onnx_runtime(job, inputs)
    return litert(job, inputs, delegates=system == "litert")


def warm_imports(system: str) -> None:
    """What is imported before memory and time count."""
    if system.startswith("litert"):
        import ai_edge_litert.interpreter  # noqa: F401
    if system == "onnxruntime":
        import onnxruntime  # noqa: F401


def resident_bytes(field: str) -> int:
    """VmRSS, or VmHWM: the most there was since the last reset."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no {field} in /proc/self/status")


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def turn(run: Run) -> dict[str, float]:
    """Runs for ``_TURN_SECONDS``, at least once. The first one finds what the other systems left in the caches."""
    elapsed, busy, count, first = time.perf_counter(), time.process_time(), 0, 0.0
    while not count or time.perf_counter() - elapsed < _TURN_SECONDS:
        run()
        count += 1
        first = first or time.perf_counter() - elapsed
    seconds, cpu_seconds = time.perf_counter() - elapsed, time.process_time() - busy
    return {"seconds": seconds / count, "cpu_seconds": cpu_seconds / count, "first_seconds": first}


def main(system: str, folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    with np.load(folder / "inputs.npz", allow_pickle=False) as archive:
        inputs = [np.ascontiguousarray(archive[f"{index}"]) for index in range(len(archive.files))]
    warm_imports(system)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM
    before = resident_bytes("VmRSS")
    begun = time.perf_counter()
    run = start(system, job, inputs)
    run()
    say({"ready": {"setup_seconds": time.perf_counter() - begun}})
    for _ in sys.stdin:
        say(turn(run))
    say({"summary": {"peak_bytes": resident_bytes("VmHWM") - before}})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
