"""The outbox of notices, its targets, and the conditions that have begun."""
