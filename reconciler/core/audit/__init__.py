"""The audit log as values: its chain, what its records say, and its checkpoints."""
