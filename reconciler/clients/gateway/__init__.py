"""The client of another gateway."""
