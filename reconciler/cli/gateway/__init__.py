"""Verbs that make, run and watch a gateway."""
