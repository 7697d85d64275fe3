"""Attacks: one per file, on arrays and bytes, knowing no protection.

Purpose: measure what an adversary gets out of the bytes it really holds.
Guarantees: an attack sees a ``Question`` and never the answers; a value always stands with its interval, between the
same attack on plaintext (unprotected) and on permuted answers (chance); an attack that cannot break a planted target
is not trusted (``self_test``).
Does not guarantee: security. "At chance" means that these attacks, with this budget, found nothing; the statement about
what cannot be found is the protection's cryptography.
"""

from kakuri.attacks.attack import Attack, AttackResult, SelfTest, Verdict
from kakuri.attacks.budget import Budget, Spending
from kakuri.attacks.catalogue import ATTACKS, MATRIX_ATTACKS, MODEL_ATTACKS, select
from kakuri.attacks.statistics import Estimate
from kakuri.attacks.target import Messages, Question, Target, messages

__all__ = [
    "ATTACKS",
    "MATRIX_ATTACKS",
    "MODEL_ATTACKS",
    "Attack",
    "AttackResult",
    "Budget",
    "Estimate",
    "Messages",
    "Question",
    "SelfTest",
    "Spending",
    "Target",
    "Verdict",
    "messages",
    "select",
]
