"""Graph passes shared by every protection, one per file.

Guarantees: a pass never changes the model it is given; it returns a copy that shares unchanged weights.
Does not guarantee: anything on models outside the normal form that ``kakuri.model.load`` states.

``prune_channels.prune`` works on torch modules and is imported from its file, since torch is an extra.
"""

from kakuri.model.passes.expand_polynomial import expand_polynomial
from kakuri.model.passes.fold_batchnorm import fold_batchnorm
from kakuri.model.passes.fold_coefficients import fold_coefficients
from kakuri.model.passes.fold_constants import fold_constants
from kakuri.model.passes.normalize_linear import normalize_linear
from kakuri.model.passes.partition import Partition, partition
from kakuri.model.passes.polynomial_activation import PolynomialActivation, polynomial_activation
from kakuri.model.passes.recognize_polynomial import recognize_polynomial
from kakuri.model.passes.remove_identities import remove_identities
from kakuri.model.passes.round_small_weights import count_small_weights, round_small_weights

__all__ = [
    "Partition",
    "PolynomialActivation",
    "count_small_weights",
    "expand_polynomial",
    "fold_batchnorm",
    "fold_coefficients",
    "fold_constants",
    "normalize_linear",
    "partition",
    "polynomial_activation",
    "recognize_polynomial",
    "remove_identities",
    "round_small_weights",
]
