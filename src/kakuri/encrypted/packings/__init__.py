"""Packings: where the elements of a feature map stand in ciphertexts, and how layers act on them there."""
