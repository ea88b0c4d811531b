"""Metrics, as Prometheus reads them (DESIGN 17)."""
