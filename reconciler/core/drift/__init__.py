"""Drift: rows that differ from their state in the audit log."""
