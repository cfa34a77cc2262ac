"""Run by alembic: migrates over the connection, and in the transaction, that `migrate` has opened."""

from alembic import context

from sidecar.ledger import schema

context.configure(connection=context.config.attributes["connection"], target_metadata=schema.metadata)
context.run_migrations()
