"""Audit: run the attacks on what really crosses, and say plainly what they found.

Purpose: ``run(subject, attacks="all")`` and its report, as text, JSON or one HTML page.
Guarantees: see ``kakuri.attacks``; an attack that fails its self-test is refused, never reported as "nothing found".
Does not guarantee: security beyond the attacks that were run; the report says so.
"""

from kakuri.audit.report import AuditReport, Refusal, Skipped, Subject
from kakuri.audit.runner import run

__all__ = ["AuditReport", "Refusal", "Skipped", "Subject", "run"]
