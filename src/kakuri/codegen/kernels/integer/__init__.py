"""The core operators of quantised regions that C can be generated for: one file per operator or family.

A new one: copy ``lookup.py`` (a function of one level) or ``pool.py`` (with a runtime file), export ``KERNELS``, name
it here. Activations lie in memory as unsigned bytes, weights as signed ones; ``kernel.py`` says how levels are lifted.
"""

from collections.abc import Mapping

from kakuri.codegen.kernels.integer import conv, dense, lookup, pairs, pool, resize, softmax
from kakuri.codegen.kernels.integer.kernel import IntegerKernel

INTEGER_KERNELS: Mapping[str, IntegerKernel] = {
    kernel.core: kernel for file in (conv, dense, lookup, pairs, pool, resize, softmax) for kernel in file.KERNELS
}
