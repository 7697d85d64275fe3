"""A sandbox for code that must not let anything out: Landlock, seccomp, no new privileges, limits, no network.

Purpose: ``start("module:function", Policy(...))`` runs Python confined from its first line; ``confine(policy)``
confines the calling process; ``available()`` says what the machine offers.
Guarantees: see ``filter`` (system calls), ``confine`` (files, order, refusals) and ``launch`` (nothing foreign runs
before). Needs no compiler, no package and no root; imports the standard library alone.
Does not guarantee: protection from the kernel, from root, or from a second process on the same machine that cooperates
with the confined one over timing, caches or memory use. It is a sandbox, not a TEE.
"""

from kakuri.trust.sandbox.confine import Confinement, available, confine
from kakuri.trust.sandbox.launch import Child, start
from kakuri.trust.sandbox.policy import Policy, python_runtime

__all__ = ["Child", "Confinement", "Policy", "available", "confine", "python_runtime", "start"]
