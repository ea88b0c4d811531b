"""The audit log as values: its chain, what its entries say, and its checkpoints."""
