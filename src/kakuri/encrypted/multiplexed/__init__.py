"""Multiplexed packing: every linear layer as few generalised diagonals between freely chosen layouts."""
