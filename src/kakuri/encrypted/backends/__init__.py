"""What executes a program: the CKKS kernel, or slots in the clear."""
