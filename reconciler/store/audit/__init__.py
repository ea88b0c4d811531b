"""The audit log in the database: appended to, verified, and queried."""
