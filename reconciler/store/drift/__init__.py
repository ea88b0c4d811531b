"""Drift in the database: its evidence, and its repair."""
