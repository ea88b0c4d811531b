"""Drift: rows that are not what the audit log says was last done to them."""
