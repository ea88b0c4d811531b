"""Rows as lists and shows print them."""
