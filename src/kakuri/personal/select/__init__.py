"""Which general samples go down: one strategy per file, all with one signature.

Purpose: ``STRATEGIES[name](candidates, count, generator)`` -> indices, distinct, in the order of choice.
Guarantees: every strategy returns exactly ``count`` indices for every 0 <= count <= n.
Does not guarantee: that one is better than another: measure on your data (``plan`` simulates); on the faces of S2 a
pilot found no difference beyond noise.
"""

from __future__ import annotations

from kakuri.personal.select.candidates import Candidates, Strategy
from kakuri.personal.select.class_balanced import class_balanced
from kakuri.personal.select.gradient_matching import gradient_matching
from kakuri.personal.select.herding import herding
from kakuri.personal.select.k_centre import k_centre
from kakuri.personal.select.loss_based import loss_based
from kakuri.personal.select.random_choice import random_choice

STRATEGIES: dict[str, Strategy] = {
    "random": random_choice,
    "class-balanced": class_balanced,
    "herding": herding,
    "k-centre": k_centre,
    "loss-based": loss_based,
    "gradient-matching": gradient_matching,
}

__all__ = ["STRATEGIES", "Candidates", "Strategy"]
