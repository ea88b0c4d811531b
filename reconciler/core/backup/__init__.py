"""What a backup is, as values: its manifest, and what an export of the audit log tells after it."""
