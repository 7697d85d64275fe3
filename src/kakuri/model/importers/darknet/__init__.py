"""Darknet networks: a ``.cfg`` text and the ``.weights`` file beside it."""
