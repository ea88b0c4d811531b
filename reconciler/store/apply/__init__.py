"""Applying a plan: the rows that it is made against, and the rows that it writes."""
