"""How a device learns: one method per file, all with the interface of ``learner.Learner``."""
