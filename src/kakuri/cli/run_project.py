"""``kakuri run FOLDER [weights.kkey] INPUT...``: generated C, compiled and run where it lies.

Guarantees: the files are those of ``build.json``. Does not guarantee: anything about C from somebody else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.cli.inputs import read_samples
from kakuri.cli.kinds import Kind, kind_of
from kakuri.cli.output import Output, table
from kakuri.cli.run_targets import Target
from kakuri.codegen.built import Project, Tensor, check_key, open_project
from kakuri.codegen.key import WeightsKey
from kakuri.errors import KakuriError
from kakuri.files import atomic_write


def run_project(output: Output, folder: Path, inputs: Sequence[Path], target: Target) -> None:
    """inputs: a key file where the weights are sealed; samples, or one file per input of the network."""
    keys = [path for path in inputs if not path.is_dir() and kind_of(path) is Kind.SECRET]
    given = [path for path in inputs if path not in keys]
    if len(keys) > 1 or not given:
        got = f"{len(keys)} key files, {len(given)} inputs"
        raise KakuriError("KK-C10", "a project takes inputs and at most one key", got=got, hint="kakuri run out/ x.npy")
    project = open_project(folder)
    key = WeightsKey.load(keys[0]).secret if keys else b""
    check_key(project.form, key)
    calls = _calls(project, given)
    with output.progress("compiling"), tempfile.TemporaryDirectory() as place:
        program = project.compile(Path(place))
        answers = [project.execute(program, Path(place), call, key=key)[0] for call in calls]
    _show(output, answers, target)


def _calls(project: Project, given: Sequence[Path]) -> list[list[NDArray[Any]]]:
    """The arrays of every call."""
    if len(project.inputs) == 1:
        (tensor,) = project.inputs
        batch = tensor.shape[:1] == (1,)
        samples = read_samples(given, tensor.shape[1:] if batch else tensor.shape)
        return [[_typed(sample[None] if batch else sample, tensor, given[0])] for sample in samples]
    if len(given) != len(project.inputs):
        raise KakuriError("KK-D32", "one file per input", got=len(given), limit=len(project.inputs))
    pairs = zip(given, project.inputs, strict=True)
    return [[_typed(read_samples([path], tensor.shape)[0], tensor, path) for path, tensor in pairs]]


def _typed(array: NDArray[np.float32], tensor: Tensor, path: Path) -> NDArray[Any]:
    """Raises KK-D32 for numbers that the input's type cannot hold."""
    with np.errstate(invalid="ignore"):
        typed = array.astype(tensor.dtype)
    if not np.array_equal(typed, array, equal_nan=True):
        raise KakuriError("KK-D32", "the input is of another type", where=path, limit=f"whole numbers, {tensor.dtype}")
    return typed


def _show(output: Output, answers: list[list[NDArray[Any]]], target: Target) -> None:
    scores = np.stack([outputs[0] for outputs in answers])
    if target.path is not None:
        with atomic_write(target.path, overwrite=target.force) as file:
            np.save(file, scores, allow_pickle=False)
    rows = table("sample", "largest", "value", right=("value",))
    for number, row in enumerate(scores.reshape(len(scores), -1)):
        rows.add_row(str(number), str(row.argmax()), f"{row.max():.6g}")
    listed = [{"outputs": [array.tolist() for array in outputs]} for outputs in answers]
    output.result({"answers": listed}, rows)
