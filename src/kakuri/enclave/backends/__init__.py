"""Backends: where the inner network runs, and what each guarantees."""
