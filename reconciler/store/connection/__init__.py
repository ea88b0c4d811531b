"""The connection to PostgreSQL: its address, its session, and what its errors mean."""
