"""The private listener: plain HTTP for the organisation's own network."""
