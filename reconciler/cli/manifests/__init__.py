"""Verbs about manifests."""
