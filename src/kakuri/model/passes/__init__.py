"""Graph passes shared by every protection, one per file.

Guarantees: a pass never changes the model it is given; it returns a copy that shares unchanged weights.
Does not guarantee: anything on models outside the normal form that ``kakuri.model.load`` states.
"""
