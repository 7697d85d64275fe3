"""Measurements, peer and ours in one run.

Purpose: ``kakuri bench NAME --json`` prints one object with ``name``, ``machine`` and ``rows``.
Guarantees: a figure that was not measured in this run is not in the output; peer and ours take turns on the same
inputs, each in a process of its own; medians over the runs; ``ratio`` above 1 means ours is better.
Does not guarantee: the same seconds tomorrow; machines are shared. Compare ratios.

Adding a benchmark: a module here with ``run(options) -> list[Row]``, named in ``registry``.
"""

from kakuri.bench.registry import names, run
from kakuri.bench.rows import Options, Row

__all__ = ["Options", "Row", "names", "run"]
