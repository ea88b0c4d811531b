"""Notices: what people and forges are told, derived from events of the audit log."""
