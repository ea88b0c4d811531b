"""HTTPS to hosts that somebody else named."""
