"""Issuance in the database: tokens, intents, certificates, and their revocation."""
