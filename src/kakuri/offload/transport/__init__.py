"""How master and workers exchange tensors: bounded frames, over shared memory on one machine."""
