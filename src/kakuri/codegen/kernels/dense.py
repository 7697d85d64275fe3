"""Products with a constant matrix (Gemm, MatMul): rows are pixels of ``runtime/conv.h``; other products: ``matmul``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from kakuri.codegen.kernels import matmul
from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.kernels.linear import Geometry, Linear
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.weights import panels
from kakuri.model.graph import constant, input_of, integer, real, required_input, static_shape
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem


def _gemm(walk: Lowering, node: ir.Node) -> None:
    matrix = np.asarray(walk.constant(node, 1), np.float32)
    matrix = matrix.T if integer(node, "transB", 0) else matrix
    bias = walk.constant(node, 2)
    alpha, beta = real(node, "alpha", 1.0), real(node, "beta", 1.0)
    columns = matrix.shape[1]
    added = np.zeros(columns) if bias is None else np.broadcast_to(beta * np.asarray(bias, np.float64), (1, columns))[0]
    _product(walk, node, (alpha * matrix.astype(np.float64)).astype(np.float32), added.astype(np.float32))


def _matmul(walk: Lowering, node: ir.Node) -> None:
    matrix = walk.constant(node, 1)
    if matrix is None or matrix.ndim != 2 or len(static_shape(required_input(node))) == 1:
        matmul.emit(walk, node)
        return
    _product(walk, node, np.asarray(matrix, np.float32), np.zeros(matrix.shape[1], np.float32))


def _product(walk: Lowering, node: ir.Node, matrix: np.ndarray, bias: np.ndarray) -> None:
    inputs, outputs = matrix.shape
    source = walk.dense(walk.view(node))
    rank = len(source.shape)
    tail = walk.tail(node, range(rank))
    target = walk.new(tail.output, range(rank))
    if not target.is_dense():  # part of a join
        target = target if rank == 2 else walk.scratch(target.shape, range(rank))
    rows = source.size // inputs
    c_px = target.strides[-2] if rank == 2 and rows > 1 else outputs
    residual = walk.dense(tail.residual) if tail.residual is not None else None
    geometry = Geometry.of_matrix(rows, inputs, outputs, c_px)
    if residual is not None:
        geometry = replace(geometry, r_row=rows * outputs, r_px=outputs)
    walk.emit(
        Linear(
            node.name or "dense",
            source,
            walk.weights.add(panels(matrix)),
            walk.weights.add(bias),
            target,
            geometry,
            residual,
            tail.low,
            tail.high,
        )
    )
    wanted = walk.env[tail.output]
    if wanted is not target:
        walk.emit(matmul.moved(node, target, wanted))


def _check_gemm(node: ir.Node) -> Iterable[ModelProblem]:
    if constant(input_of(node, 1)) is None or (input_of(node, 2) is not None and constant(input_of(node, 2)) is None):
        yield problem(node, "KK-G10", Severity.NOT_YET, "has a matrix or a bias that is computed", "use MatMul and Add")
    elif integer(node, "transA", 0):
        yield problem(node, "KK-G14", Severity.NOT_YET, "transposes its input", "transpose it before")
    else:
        bias = constant(input_of(node, 2))
        if bias is not None and bias.ndim == 2 and bias.shape[0] != 1:
            yield problem(node, "KK-G14", Severity.NOT_YET, "adds a matrix", "add it in a node of its own")


KERNELS = (Kernel("Gemm", _gemm, _check_gemm), Kernel("MatMul", _matmul))
