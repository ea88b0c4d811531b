"""Verbs that read the audit log for people."""
