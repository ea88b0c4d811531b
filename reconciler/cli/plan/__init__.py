"""Verbs that compare the source, the rows and the audit log: plan, apply, drift."""
