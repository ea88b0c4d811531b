"""The plan: what differs between git and the rows, in order, and whether it may be applied."""
