"""Rows as lists and shows print them (DESIGN 13)."""
