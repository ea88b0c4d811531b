"""The roles of the database: what they may do, and how they are made."""
