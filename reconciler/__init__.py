"""Mosaic Federation: cross-organisation grants, declared in git and proven by certificates."""
