"""Backups: made, checked, restored and confirmed."""
