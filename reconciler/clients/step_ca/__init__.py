"""The client of step-ca."""
