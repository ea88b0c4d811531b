"""Backups of a gateway: made while it runs, checked, and restored so that nothing comes back."""
