"""Rows on their way out of a database and into another, and what a restore takes back."""
