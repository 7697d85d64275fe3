"""How far the answers of generated C are from the source model's: outputs, and every value kept between layers.

Settings: ``models``, as in ``codegen``. Cases are the files' names; inputs are random. Systems beside ours:
``onnxruntime`` (float32 networks: the same model, unoptimised), ``litert-reference`` (.tflite files: LiteRT's reference
kernels). Ours: ``largest_relative_difference`` of the outputs and ``layer_relative_difference`` of the worst of
``layers`` values, ``layer``, from the oracle: ONNX Runtime, or for a quantised network the integers of LiteRT's
reference kernels as ``kakuri.model.quantized`` computes them. ``exact_relative_error``: from the same network computed
in float64; ``ratio``: ONNX Runtime's over ours. ``litert-reference``: ``output_levels``, the largest difference from
our outputs, or ``output_relative_difference`` where they are not integers. What a system refuses has no row.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri import codegen, model
from kakuri.bench.codegen import rows_of_networks
from kakuri.bench.environment import default_folder, peer_python
from kakuri.bench.exact import exact_outputs
from kakuri.bench.rows import Options, Report, Row
from kakuri.codegen.comparison import Difference, compare
from kakuri.codegen.examples import random_inputs
from kakuri.codegen.planning import CodegenPlan
from kakuri.codegen.reference import outputs_of
from kakuri.errors import KakuriError
from kakuri.model.quantized import regions

Array = NDArray[Any]


def run(options: Options) -> list[Row]:
    """Rows per network. Raises KK-C23 without models; a network without C is reported and left out."""
    return rows_of_networks(options, _case)


def _case(path: Path, options: Options) -> list[Row]:
    plan = codegen.plan(model.load(path))
    inputs = random_inputs(plan.program, np.random.default_rng(0))
    options.report(f"{path.stem}: generating, compiling, comparing every layer")
    with tempfile.TemporaryDirectory() as folder:
        outputs, comparison = plan.build(Path(folder) / "project").run_and_check(inputs, layers=True)
    ours = _figures(comparison.differences, len(outputs))
    rows = [Row("kakuri", path.stem, ours)]
    if not regions(plan.net):
        error = _from_exact(plan, inputs, outputs, ours, options.report)
        rows += [] if error is None else [Row("onnxruntime", path.stem, {"exact_relative_error": error})]
    if path.suffix == ".tflite":
        theirs = _litert(path, inputs, options.report)
        rows += [] if theirs is None else [Row("litert-reference", path.stem, _apart(outputs, theirs))]
    return rows


def _figures(found: Sequence[Difference], outputs: int) -> dict[str, Any]:
    worst = max(found, key=lambda item: item.relative)
    return {
        "layers": len(found),
        "largest_relative_difference": max(item.relative for item in found[-outputs:]),
        "layer_relative_difference": worst.relative,
        "layer": worst.name if worst.relative else "",
    }


def _from_exact(
    plan: CodegenPlan, inputs: list[Array], outputs: list[Array], ours: dict[str, Any], report: Report
) -> float | None:
    """ONNX Runtime's error from float64, and ours into ``ours``; None where the evaluator does not compute this."""
    given = dict(zip(plan.program.input_names, inputs, strict=True))
    try:
        exact = exact_outputs(plan.source, given)
    except KakuriError as error:
        report(f"{plan.name}: no float64: {error.problem}")
        return None
    theirs = _worst(outputs_of(plan.source, given, plan.program.output_names), exact)
    ours["exact_relative_error"] = _worst(outputs, exact)
    ours["ratio"] = theirs / ours["exact_relative_error"] if ours["exact_relative_error"] else 1.0
    return theirs


def _litert(path: Path, inputs: list[Array], report: Report) -> list[Array] | None:
    """The outputs of LiteRT's reference kernels; None where it refuses the file."""
    script = Path(__file__).with_name("peers") / "reference_outputs.py"
    named: dict[str, Any] = {str(index): array for index, array in enumerate(inputs)}
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder)
        np.savez(job / "inputs.npz", **named)
        command = [peer_python(default_folder(), report), script, path.resolve(), "inputs.npz", "outputs.npz"]
        done = subprocess.run([str(part) for part in command], cwd=job, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
            report(f"{path.stem}: LiteRT refuses: {last[:200]!a}")
            return None
        with np.load(job / "outputs.npz", allow_pickle=False) as archive:
            return [archive[str(index)] for index in range(len(archive.files))]


def _apart(outputs: list[Array], theirs: list[Array]) -> dict[str, Any]:
    if all(np.issubdtype(array.dtype, np.integer) for array in outputs):
        gaps = [np.abs(a.astype(np.int64) - b) for a, b in zip(outputs, theirs, strict=True)]
        return {"output_levels": max(int(gap.max()) for gap in gaps)}
    return {"output_relative_difference": _worst(outputs, theirs)}


def _worst(got: list[Array], expected: list[Array]) -> float:
    return compare((str(i), a, b) for i, (a, b) in enumerate(zip(got, expected, strict=True))).worst.relative
