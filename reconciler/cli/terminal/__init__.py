"""The terminal: what a command prints to, and how it logs."""
