"""What Alembic runs: on the connection that `reconciler.store.migrate` hands it, and no other."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
