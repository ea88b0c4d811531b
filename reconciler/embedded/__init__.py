"""Child processes of a gateway that needs nothing else: PostgreSQL and step-ca."""
