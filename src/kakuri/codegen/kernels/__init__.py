"""The operators that C can be generated for: one file per operator or family.

A new one: copy ``polynomial.py`` (elementwise) or ``pool.py`` (with a runtime file), export ``KERNELS``, name it here.
"""

from collections.abc import Mapping

from kakuri.codegen.kernels import (
    argmax,
    binary,
    concat,
    conv,
    dense,
    gather,
    lrn,
    lstm,
    movement,
    pad,
    polynomial,
    pool,
    quantize,
    reduce,
    resize,
    softmax,
    unary,
)
from kakuri.codegen.kernels.kernel import Kernel

_FILES = (
    argmax,
    binary,
    concat,
    conv,
    dense,
    gather,
    lrn,
    lstm,
    movement,
    pad,
    polynomial,
    pool,
    quantize,
    reduce,
    resize,
    softmax,
    unary,
)

#: (domain, operator) -> its kernel.
KERNELS: Mapping[tuple[str, str], Kernel] = {
    (kernel.domain, kernel.op_type): kernel for file in _FILES for kernel in file.KERNELS
}
