"""Issuance: who may have which certificate, and what the parties say to each other about it."""
