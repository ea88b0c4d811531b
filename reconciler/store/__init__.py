"""The only home of SQLAlchemy, psycopg and Alembic."""
