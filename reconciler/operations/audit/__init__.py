"""Archives of the audit log: written, read back, and moved out of the database."""
